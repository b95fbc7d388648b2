// Two pulls that need the same blob share one download. Who comes second watches; if the first fails or is cancelled,
// the second takes over with its own registry and credentials, from where the first stopped.

import { orAborted } from "../../base/abort.js";
import type { OnProgress, ProgressUpdate } from "../../base/progress.js";

interface Flight {
  readonly over: Promise<void>;
  readonly watchers: Set<OnProgress>;
}

export interface FlightOptions {
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal | undefined;
}

export class BlobFlights {
  readonly #flights = new Map<string, Flight>();

  /** True while a download of the digest runs. */
  has(digest: string): boolean {
    return this.#flights.has(digest);
  }

  /**
   * Runs `download`, unless one of the same digest is on its way: then waits for that one's end.
   *
   * @returns "done" where `download` ran; "shared" where another one ended, well or not: look again
   */
  async run(
    digest: string,
    options: FlightOptions,
    download: (report: OnProgress) => Promise<void>,
  ): Promise<"done" | "shared"> {
    const running = this.#flights.get(digest);
    if (running !== undefined) {
      await watch(running, options);
      return "shared";
    }
    const watchers = new Set([options.onProgress]);
    const report = (update: ProgressUpdate) => {
      for (const watcher of watchers) watcher(update);
    };
    const work = download(report).finally(() => this.#flights.delete(digest));
    // Watchers only wait for the end: the failure is the owner's to report.
    const over = work.catch(() => undefined);
    this.#flights.set(digest, { over, watchers });
    await work;
    return "done";
  }
}

async function watch(flight: Flight, { onProgress, signal }: FlightOptions): Promise<void> {
  signal?.throwIfAborted();
  flight.watchers.add(onProgress);
  try {
    await orAborted(flight.over, signal);
  } finally {
    flight.watchers.delete(onProgress);
  }
}
