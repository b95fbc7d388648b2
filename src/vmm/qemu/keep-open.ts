// A connection to a process that lives on without it: opened again whenever it ends. Whoever is at the other end may
// break it as often as it likes; the attempts become ever more seldom.

import { delay } from "../../base/runtime.js";

export interface KeptConnection {
  /** Resolves when it has ended. Never rejects. */
  readonly closed: Promise<void>;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** A connection that lasted this long has earned a quick next attempt. */
const STEADY_MS = 10_000;

/**
 * Never rejects; resolves once `signal` is aborted and the connection has ended.
 *
 * @param first the open one
 * @param wait for tests
 */
export async function keepOpen(
  first: KeptConnection,
  open: () => Promise<KeptConnection>,
  signal: AbortSignal,
  wait: (ms: number, signal: AbortSignal) => Promise<void> = delay,
): Promise<void> {
  let connection: KeptConnection | undefined = first;
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    const opened = performance.now();
    await connection?.closed;
    if (connection !== undefined && performance.now() - opened >= STEADY_MS) pause = FIRST_PAUSE_MS;
    await wait(pause, signal).catch(() => undefined);
    if (signal.aborted) return;
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    connection = await open().catch(() => undefined);
  }
}
