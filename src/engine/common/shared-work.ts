// One run of the same long work (a pull, a base, a kernel) for all who ask while it runs. Each may give up alone:
// the work is aborted only when the last one has.

import { orAborted } from "../../base/abort.js";
import { Code, KilnError } from "../../base/errors.js";
import type { OnProgress, ProgressUpdate } from "../../base/progress.js";

export interface WorkOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Refuses instead of working: for who wants only what is there already. */
  readonly readyOnly?: boolean | undefined;
}

interface Running<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  readonly listeners: Set<OnProgress>;
  waiting: number;
  /** Latest state of each step, so that a late-comer sees what the others see. */
  readonly latest: Map<string, ProgressUpdate>;
}

export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /**
   * @param body runs once; its own signal aborts when nobody waits any more, and the last one waits until it has ended
   * @throws KilnError failed_precondition `not-ready` under `readyOnly`, and what the body says
   */
  async run(
    key: string,
    options: WorkOptions,
    body: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    if (options.readyOnly) throw notReady("make what it needs");
    const running = this.#running.get(key) ?? this.#start(key, body);
    const { onProgress } = options;
    running.waiting++;
    if (onProgress !== undefined) {
      for (const update of running.latest.values()) onProgress(update);
      running.listeners.add(onProgress);
    }
    try {
      return await orAborted(running.result, options.signal);
    } finally {
      if (onProgress !== undefined) running.listeners.delete(onProgress);
      running.waiting--;
      if (running.waiting === 0) {
        // Nobody may join work that is being given up.
        if (this.#running.get(key) === running) this.#running.delete(key);
        running.abort.abort(options.signal?.reason);
        // Who hears that it was given up may rely on it: what it had half made is gone.
        await running.result.catch(() => undefined);
      }
    }
  }

  #start(key: string, body: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>): Running<T> {
    const abort = new AbortController();
    const listeners = new Set<OnProgress>();
    const latest = new Map<string, ProgressUpdate>();
    const result = body(abort.signal, (update) => {
      latest.set(update.id, update);
      for (const listener of listeners) listener(update);
    });
    // When all have given up nobody is left to hear how it ended.
    result.catch(() => undefined);
    const running: Running<T> = { result, abort, listeners, waiting: 0, latest };
    this.#running.set(key, running);
    return running;
  }
}

/** @param what would have to be done first */
export function notReady(what: string): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `${what}: that takes work, and only what is ready was asked for`,
    {
      reason: "not-ready",
      hint: "ask again without ready_only",
    },
  );
}
