// What has happened, for `kiln events`: a bounded ring with cursors. Subscribers hold a cursor, not a queue, so a slow
// one loses old events and is told so; it never costs memory.

import { onAbort } from "../../base/abort.js";
import { Alarm } from "../../base/alarm.js";
import { Notifier } from "./notifier.js";

/** Something that happened to a VM, an image, a kernel, a volume, a network or kilnd itself, as `kiln events` tells it. */
export interface KilnEvent {
  /** Grows by one with each event; also over restarts of kilnd. */
  readonly cursor: bigint;
  readonly timeMs: number;
  readonly type: "vm" | "image" | "kernel" | "volume" | "network" | "system";
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export type NewEvent = Omit<KilnEvent, "cursor" | "timeMs">;

export interface ReadEventsOptions {
  /** Begin after this event; absent: with what comes from now on. */
  readonly after?: bigint | undefined;
  /** Begin with the first at or after this time, milliseconds. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const KEPT = 4096;
/** Room for a thousand events each millisecond between two cursors of different daemons. */
const PER_MILLISECOND = 1000n;

export class EventLog {
  readonly #ring: KilnEvent[] = [];
  readonly #changed = new Notifier();
  readonly #now: () => number;
  #next: bigint;

  constructor(now: () => number = Date.now) {
    this.#now = now;
    // A later daemon's first cursor is past all of an earlier one's: time is the only thing both know.
    this.#next = BigInt(now()) * PER_MILLISECOND;
  }

  emit(event: NewEvent): void {
    this.#ring.push({ ...event, cursor: this.#next++, timeMs: this.#now() });
    if (this.#ring.length > KEPT) this.#ring.shift();
    this.#changed.notify();
  }

  /** Events in order; ends at `untilMs`, or when the signal aborts. */
  async *read(options: ReadEventsOptions): AsyncGenerator<KilnEvent> {
    let next = this.#firstCursor(options);
    const end = options.untilMs === undefined ? undefined : this.#stopAt(options.untilMs, options.signal);
    try {
      for (;;) {
        const first = this.#oldest;
        if (next < first) {
          // Also on a fresh log, which holds none: what a cursor of old asks for will not come.
          yield lost(first - 1n, this.#now());
          next = first;
        }
        for (const event of this.#from(next)) {
          if (options.untilMs !== undefined && event.timeMs > options.untilMs) return;
          next = event.cursor + 1n;
          yield event;
        }
        if (this.#next > next) continue; // something happened while the reader was busy
        if (end?.signal.aborted === true) return;
        await this.#changed.next(end?.signal ?? options.signal);
      }
    } catch (error) {
      if (end?.signal.aborted === true && options.signal?.aborted !== true) return;
      throw error;
    } finally {
      end?.dispose();
    }
  }

  /** Cursor of the oldest event that is kept; of the next one where none is. */
  get #oldest(): bigint {
    return this.#ring[0]?.cursor ?? this.#next;
  }

  #firstCursor({ after, sinceMs, untilMs }: ReadEventsOptions): bigint {
    // 0 and below: from the oldest on, whatever has gone before.
    if (after !== undefined) return after > 0n ? after + 1n : this.#oldest;
    if (sinceMs === undefined) return untilMs === undefined ? this.#next : this.#oldest;
    return this.#ring.find((event) => event.timeMs >= sinceMs)?.cursor ?? this.#next;
  }

  #from(cursor: bigint): KilnEvent[] {
    return cursor >= this.#next ? [] : this.#ring.slice(Number(cursor - this.#oldest));
  }

  #stopAt(untilMs: number, signal: AbortSignal | undefined): { signal: AbortSignal; dispose: () => void } {
    const stop = new AbortController();
    const alarm = new Alarm();
    alarm.at(untilMs, this.#now, () => stop.abort());
    const listening = onAbort(signal, (reason) => stop.abort(reason));
    return {
      signal: stop.signal,
      dispose: () => {
        alarm.clear();
        listening[Symbol.dispose]();
      },
    };
  }
}

/** Tells a subscriber that comes back late that older events are gone. */
function lost(cursor: bigint, timeMs: number): KilnEvent {
  return { cursor, timeMs, type: "system", action: "events-lost", id: "", attributes: {} };
}
