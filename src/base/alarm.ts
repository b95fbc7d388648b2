// A moment that may be far away. Node's timers wait 24 days at most and take what is longer for 1 ms: an alarm goes on from
// one to the next until its time has come.

/** The longest that a timer of Node waits. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One moment at a time: setting it anew forgets the last one. It rings no earlier than after the call that sets it. */
export class Alarm {
  readonly #keepsAlive: boolean;
  #timer: NodeJS.Timeout | undefined;

  /** @param options keepsAlive: false where no program is to stay for it (default: true) */
  constructor({ keepsAlive = true }: { readonly keepsAlive?: boolean } = {}) {
    this.#keepsAlive = keepsAlive;
  }

  /** Rings once so many milliseconds have passed, whatever becomes of the clock on the wall meanwhile. Infinity: never. */
  after(ms: number, ring: () => void): void {
    const step = Math.min(ms, LONGEST_TIMER_MS);
    const rest = ms - step;
    this.#wait(step, rest > 0 ? () => this.after(rest, ring) : ring);
  }

  /**
   * Rings once a clock shows the time, or a later one.
   *
   * @param atMs as `now` gives it
   */
  at(atMs: number, now: () => number, ring: () => void): void {
    const left = Math.max(0, atMs - now());
    // Looked at again: the clock may have been set back, and Node's timers are early by a part of a millisecond.
    const look = () => (now() < atMs ? this.at(atMs, now, ring) : ring());
    this.#wait(Math.min(left, LONGEST_TIMER_MS), look);
  }

  /** Does not ring any more. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(ms: number, act: () => void): void {
    this.clear();
    this.#timer = setTimeout(act, Math.max(0, ms));
    if (!this.#keepsAlive) this.#timer.unref();
  }
}
