// Calls whose first message says what is to become of the bytes of all others.

import { Code, KilnError } from "../base/errors.js";

interface Upload {
  readonly message: { readonly case?: string | undefined; readonly value?: unknown };
}

/** The bytes behind the start. */
export async function* bytesOf(requests: AsyncIterator<Upload>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const next = await requests.next();
    if (next.done === true) return;
    const { message } = next.value;
    if (message.case === "data" && message.value instanceof Uint8Array) yield message.value;
  }
}

/** @param what for the message: "import" */
export function noStart(what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `${what}: the first message must be "start"`, {
    reason: "bad-request",
  });
}
