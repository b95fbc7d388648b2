// A dial with a deadline of its own: the deadline ends with the dial, and not the stream that came of it.

import type { Duplex } from "node:stream";

/**
 * @param abort ends the dial and, as far as the dial binds its stream to the signal, the stream: aborted when the
 * client goes, or when the deadline passes first
 */
export async function dialWithin(
  timeoutMs: number,
  abort: AbortController,
  dial: (signal: AbortSignal) => Promise<Duplex>,
): Promise<Duplex> {
  const timer = setTimeout(
    () => abort.abort(new DOMException("the guest did not answer", "TimeoutError")),
    timeoutMs,
  );
  try {
    return await dial(abort.signal);
  } finally {
    clearTimeout(timer);
  }
}
