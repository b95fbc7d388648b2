// How long one dial of the guest may take. Before the guest's vsock driver is up a dial is answered by nobody and never
// will be: waiting for it to the end would cost a boot seconds. Once a dial was answered, only a busy guest is slow.

const LEAST_MS = 100;
const MOST_MS = 5_000;
/** Of the time since the first dial: a boot is found out at most this part later than it was done. */
const PART = 1 / 4;

export class DialPatience {
  #firstAt: number | undefined;
  #answered = false;

  /** Milliseconds that a dial begun now may take. */
  next(now = performance.now()): number {
    if (this.#answered) return MOST_MS;
    this.#firstAt ??= now;
    return Math.min(Math.max((now - this.#firstAt) * PART, LEAST_MS), MOST_MS);
  }

  answered(): void {
    this.#answered = true;
  }
}
