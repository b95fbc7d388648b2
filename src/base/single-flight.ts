// One run of the same long work (a pull, a base, a probe) for all who ask while it goes on. Each may give up alone: the
// work is aborted only when the last one has. All who wait hear how it ended.

import { orAborted } from "./abort.js";
import type { OnProgress, ProgressUpdate } from "./progress.js";

export interface FlightOptions {
  /** Of who asks: its abort ends the asking, and the work only with the last who asked. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

interface Flight<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  readonly listeners: Set<OnProgress>;
  /** Those for whom it runs; who only watches is none of them. */
  waiting: number;
  /** Latest state of each step, so that a late-comer sees what the others see. */
  readonly latest: Map<string, ProgressUpdate>;
}

export class SingleFlight<T> {
  /** Those that may be joined. */
  readonly #flights = new Map<string, Flight<T>>();

  /**
   * @param body runs once; its own signal aborts when nobody waits any more, and the last one waits until it has ended
   * @throws what the body throws, to all who wait; the reason of the signal to who gave up
   */
  async run(
    key: string,
    { signal, onProgress }: FlightOptions,
    body: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#start(key, body);
    flight.waiting++;
    const listening = listen(flight, onProgress);
    try {
      return await orAborted(flight.result, signal);
    } finally {
      listening[Symbol.dispose]();
      flight.waiting--;
      if (flight.waiting === 0) {
        // Nobody may join work that is being given up.
        this.#drop(key, flight);
        flight.abort.abort(signal?.reason);
        // Who hears that it was given up may rely on it: what it had half made is gone.
        await flight.result.catch(() => undefined);
      }
    }
  }

  /**
   * Waits for the end of one that goes on, well or not, without keeping it going.
   *
   * @returns undefined at once where there is none: who then calls `run` without a wait between is the one whose body runs
   * @throws the reason of the signal
   */
  watch(key: string, options: FlightOptions): Promise<void> | undefined {
    const flight = this.#flights.get(key);
    return flight === undefined ? undefined : watch(flight, options);
  }

  #start(key: string, body: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>): Flight<T> {
    const abort = new AbortController();
    const listeners = new Set<OnProgress>();
    const latest = new Map<string, ProgressUpdate>();
    const work = body(abort.signal, (update) => {
      latest.set(update.id, update);
      for (const listener of listeners) listener(update);
    });
    // Who asks once it has ended asks anew, though some may not have heard of the end yet.
    const result = work.finally(() => this.#drop(key, flight));
    // When all have given up nobody is left to hear how it ended.
    result.catch(() => undefined);
    const flight: Flight<T> = { result, abort, listeners, waiting: 0, latest };
    this.#flights.set(key, flight);
    return flight;
  }

  #drop(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}

async function watch<T>(flight: Flight<T>, { signal, onProgress }: FlightOptions): Promise<void> {
  signal?.throwIfAborted();
  using _ = listen(flight, onProgress);
  // Its failure is for those to report for whom it runs.
  const over = flight.result.then(
    () => undefined,
    () => undefined,
  );
  await orAborted(over, signal);
}

function listen(
  { latest, listeners }: Pick<Flight<unknown>, "latest" | "listeners">,
  onProgress: OnProgress | undefined,
): Disposable {
  if (onProgress !== undefined) {
    for (const update of latest.values()) onProgress(update);
    listeners.add(onProgress);
  }
  return { [Symbol.dispose]: () => void (onProgress !== undefined && listeners.delete(onProgress)) };
}
