// How many HTTP/2 frames the other end of a connection may send that carry nothing. All of them are legal, in any number:
// windows that grow, pings, priorities, frames of unknown kinds, data without a byte. Each costs its receiver some time,
// and a stream of them most of a processor. What an honest end sends of them follows from what it is sent (a window's
// growth for data, an acknowledgement for a ping) and from the calls that are made; the rest is a few a second.

export const FrameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
} as const;

const END_STREAM = 0x01;
const ACK = 0x01;
const PADDED = 0x08;

/** Frames at once: what may be on its way for the data that a large window holds. Some 50 ms of a processor. */
const MOST_AT_ONCE = 65_536;
/** Without any reason: a thousandth of what fills a processor. */
const PER_SECOND = 1_000;
/** For headers of ours: those of the answer, its trailers, its end by an empty frame, a reset. */
const PER_HEADERS = 4;
/** For data of ours: a larger window for the stream and for all, and pings that measure how fast it came. */
const PER_DATA = 4;
/** Those who read in small steps tell of each. */
const BYTES_PER_FRAME = 1_024;

/** What a frame's header says. */
export interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  /** Of the payload, bytes. */
  readonly length: number;
}

export class FrameBudget {
  readonly #now: () => number;
  readonly #callsAreOurs: boolean;
  /** Calls in which the other end may still send data; the latest that has begun. */
  readonly #open = new Set<number>();
  #latest = 0;
  #left = MOST_AT_ONCE;
  #at: number;

  /**
   * @param calls who begins them: "ours" on the client's side
   * @param now milliseconds that never go back
   */
  constructor(calls: "ours" | "theirs", now: () => number = () => performance.now()) {
    this.#callsAreOurs = calls === "ours";
    this.#now = now;
    this.#at = now();
  }

  /** A frame of ours: what it may be answered by. */
  sent({ type, flags, stream, length }: FrameHead): void {
    if (type === FrameType.data) this.#grant(PER_DATA + length / BYTES_PER_FRAME);
    if (type === FrameType.headers) this.#grant(PER_HEADERS);
    if ((type === FrameType.ping || type === FrameType.settings) && (flags & ACK) === 0) this.#grant(1);
    if (type === FrameType.headers && this.#callsAreOurs) this.#begin(stream);
    if (type === FrameType.reset) this.#open.delete(stream);
  }

  /** A frame of the other end. @returns false where it is one too many */
  received({ type, flags, stream, length }: FrameHead): boolean {
    if (type === FrameType.headers && !this.#callsAreOurs) this.#begin(stream);
    const carries = type === FrameType.data && length > 0 && (flags & PADDED) === 0 && this.#open.has(stream);
    if (type === FrameType.data) this.#grant(length / BYTES_PER_FRAME);
    const isLast = (type === FrameType.data || type === FrameType.headers) && (flags & END_STREAM) !== 0;
    if (isLast || type === FrameType.reset) this.#open.delete(stream);
    return carries || this.#take();
  }

  #begin(stream: number): void {
    if (stream <= this.#latest) return;
    this.#latest = stream;
    this.#open.add(stream);
  }

  #grant(frames: number): void {
    this.#left = Math.min(MOST_AT_ONCE, this.#left + frames);
  }

  #take(): boolean {
    if (this.#left < 1) {
      const now = this.#now();
      this.#grant(((now - this.#at) / 1000) * PER_SECOND);
      this.#at = now;
    }
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
