// Calls that only wait and listen, over as many kilnds as they take: they may be asked again, as nothing is done by them.

import { type CallOptions, deadlineSignal, endedError } from "./deadline.js";
import { isOutage, Outage } from "./outage.js";

/** One such call. */
export interface LastingAnswers<T> {
  /** For messages: "Logs of VM web". */
  readonly what: string;
  /** Asks, from where the answers before came to. */
  ask(bound: CallOptions): AsyncIterable<T>;
  /** False where to ask again would repeat something. */
  canAskAgain?(): boolean;
}

/** The answers of all of them, as if it were one call. `timeoutMs` is for the whole. */
export async function* lastingAnswers<T>(
  { what, ask, canAskAgain }: LastingAnswers<T>,
  options: CallOptions,
): AsyncGenerator<T, void> {
  const signal = deadlineSignal(options);
  let outage: Outage | undefined;
  for (;;) {
    try {
      for await (const answer of ask({ signal })) {
        outage = undefined;
        yield answer;
      }
      return;
    } catch (error) {
      if (signal?.aborted || !isOutage(error) || canAskAgain?.() === false) throw error;
      outage ??= new Outage(what, error);
      outage.failed(error);
      await outage.pause(signal).catch((reason: unknown) => {
        throw signal?.aborted ? endedError(signal, what) : reason;
      });
    }
  }
}

/** The same of a call with one answer. */
export async function lastingAnswer<T>(
  what: string,
  ask: (bound: CallOptions) => Promise<T>,
  options: CallOptions,
): Promise<T> {
  const once = async function* (bound: CallOptions) {
    yield await ask(bound);
  };
  const { value } = await lastingAnswers({ what, ask: once }, options).next();
  return value as T;
}
