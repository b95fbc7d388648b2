// Refusals as CRI's callers see them. A kubelet shows a status's message in the pod's events and nothing else of it, so
// the hint goes into the message.

import type { Interceptor } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";

/** Puts the hint of a call's error into its message. */
export const hintInterceptor: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: withHints(response.message) } : response;
  } catch (error) {
    throw withHint(error);
  }
};

async function* withHints<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw withHint(error);
  }
}

function withHint(error: unknown): unknown {
  if (!(error instanceof KilnError)) return error;
  const { code, message, reason, hint, details } = error;
  if (hint === undefined) return error;
  return new KilnError(code, `${message} (${hint})`, { reason, details, cause: error });
}

/** For calls that nothing answers yet. */
export function unimplemented(what: string, hint?: string): KilnError {
  return new KilnError(Code.Unimplemented, `kiln can't ${what} yet`, { reason: "cri-unimplemented", hint });
}
