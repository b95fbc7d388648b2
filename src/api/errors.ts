// Errors on the wire: a KilnError becomes a status of the same code with ErrorInfo as its detail, on every call and
// every stream. Calls also wait here until the engine has read its state.

import { type Code as ConnectCode, ConnectError, type Interceptor } from "@connectrpc/connect";
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
      if (surprising) log.error("a call failed", { method: request.method.name, why: stackOf(error) });
      return status;
    };
    try {
      await ready();
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: reportIn(response.message, report) };
    } catch (error) {
      throw report(error);
    }
  };
}

async function* reportIn<T>(
  messages: AsyncIterable<T>,
  report: (error: unknown) => ConnectError,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw report(error);
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
