// Errors on the wire: a KilnError becomes a status of the same code with ErrorInfo as its detail, on every call and
// every stream. Calls also wait here until the engine has read its state.

import { type Code as ConnectCode, ConnectError, type Interceptor } from "@connectrpc/connect";
import { onAbort } from "../base/abort.js";
import { Code, type KilnError, KilnError as KilnErrorClass } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { ErrorInfoSchema } from "../gen/kiln/v1/types_pb.js";

/** The status of any throw. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const known: KilnError = KilnErrorClass.from(error);
  const { code, message, reason, hint, details } = known;
  const info = { reason, hint: hint ?? "", details: { ...details } };
  return new ConnectError(
    message,
    code as number as ConnectCode,
    undefined,
    [{ desc: ErrorInfoSchema, value: info }],
    error,
  );
}

/**
 * @param ready resolves when calls may begin; its rejection is every call's answer
 */
export function createErrorInterceptor(ready: () => Promise<void>, log: Logger): Interceptor {
  return (next) => async (request) => {
    const report = (error: unknown) => {
      const status = toConnectError(error);
      const surprising =
        status.code === (Code.Internal as number) || status.code === (Code.Unknown as number);
      const { name: method } = request.method;
      // What breaks because its caller has left is no fault of ours.
      if (surprising && request.signal.aborted)
        log.info("a call was given up", { method, why: status.message });
      else if (surprising) log.error("a call failed", { method, why: stackOf(error) });
      return status;
    };
    const caller = callersSignal(request.signal);
    try {
      await ready();
      const response = await next({ ...request, signal: caller.signal });
      if (response.stream) return { ...response, message: reportIn(response.message, report, caller.forget) };
      caller.forget();
      return response;
    } catch (error) {
      caller.forget();
      throw report(error);
    }
  };
}

/**
 * The same signal with a KilnError as its reason: Connect's own error is a stranger to the engine, which would take a
 * caller that has left for a failure, and throw away what the next try could go on with. Connect's aborts after every
 * call; ours not once the call has ended by itself and is forgotten.
 */
function callersSignal(signal: AbortSignal): { readonly signal: AbortSignal; readonly forget: () => void } {
  const own = new AbortController();
  const listening = onAbort(signal, (reason) => own.abort(endOfCall(reason)));
  return { signal: own.signal, forget: () => listening[Symbol.dispose]() };
}

function endOfCall(reason: unknown): KilnError {
  const overdue = reason instanceof ConnectError && reason.code === (Code.DeadlineExceeded as number);
  return overdue
    ? new KilnErrorClass(Code.DeadlineExceeded, "the call's time is over", {
        reason: "timeout",
        cause: reason,
      })
    : new KilnErrorClass(Code.Cancelled, "the caller has gone", { reason: "cancelled", cause: reason });
}

async function* reportIn<T>(
  messages: AsyncIterable<T>,
  report: (error: unknown) => ConnectError,
  ended: () => void,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw report(error);
  } finally {
    ended();
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
