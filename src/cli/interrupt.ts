// Ctrl-C and SIGTERM while kilnd works for us and nothing has been handed over yet: a pull, a build, the making of a VM.

import { constants } from "node:os";
import { Code, KilnError } from "../base/errors.js";

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

/**
 * Runs work that these signals end at once: its own signal aborts, which tells kilnd, and nobody waits for it. A second
 * one ends the process, whatever is still being tidied up.
 *
 * @param what for the message: "pull nginx"
 * @param then what becomes of it: "what was fetched is kept, the next pull goes on from there"
 * @throws KilnError cancelled `interrupted`, and what the work throws
 */
export async function interruptible<T>(
  what: string,
  then: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  let reject: (error: KilnError) => void = () => undefined;
  const interrupted = new Promise<never>((_, fail) => {
    reject = fail;
  });
  const handlers = SIGNALS.map((name): [NodeJS.Signals, () => void] => {
    const code = 128 + constants.signals[name];
    const handler = () => {
      if (abort.signal.aborted) process.exit(code);
      const error = interruption(`${what}: interrupted: ${then}`, code);
      abort.abort(error);
      reject(error);
    };
    return [name, handler];
  });
  for (const [name, handler] of handlers) process.on(name, handler);
  try {
    return await Promise.race([work(abort.signal), interrupted]);
  } finally {
    for (const [name, handler] of handlers) process.off(name, handler);
  }
}

/** The user has ended this command. @param code its exit code */
export function interruption(message: string, code = 130): KilnError {
  return new KilnError(Code.Cancelled, message, {
    reason: "interrupted",
    details: { exitCode: String(code) },
  });
}
