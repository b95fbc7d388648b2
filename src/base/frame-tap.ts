// Looks at HTTP/2's frames as they pass between a session and its channel, and changes none. Node's HTTP/2 stops
// reading after a violation, says goodbye to the other end, and tells nobody here: not by an event, not by closing. On
// a serial port, where the other end has nothing to close, such a session would stay for ever. What it sends tells all.
// And it takes legal frames that carry nothing for as long as they come: those are counted here.

import { Duplex } from "node:stream";
import { FrameBudget, type FrameHead, FrameType } from "./frame-budget.js";

const PREFACE_BYTES = 24;
const HEADER_BYTES = 9;
/** Of a frame's payload, what is looked at: a goodbye's last stream and its code. */
const LOOKED_AT = 8;

export interface FrameListener {
  /** Every frame, once its header is there. */
  readonly onFrame?: (head: FrameHead) => void;
  /** A goodbye, with its code. */
  readonly onGoodbye?: (code: number) => void;
}

/** Follows frames through a stream of bytes, however it is cut. Holds one header and the first bytes of a payload. */
export class FrameCursor {
  readonly #listener: FrameListener;
  readonly #head = Buffer.alloc(HEADER_BYTES + LOOKED_AT);
  /** Bytes in `#head`, and how many of this frame belong there. */
  #held = 0;
  #wanted = HEADER_BYTES;
  /** Of the payload that is passing. */
  #left = 0;
  #skip: number;

  /** @param skip bytes before the first frame */
  constructor(skip: number, listener: FrameListener = {}) {
    this.#skip = skip;
    this.#listener = listener;
  }

  /** True between the first and the last byte of a frame. */
  get inFrame(): boolean {
    return this.#held > 0;
  }

  push(chunk: Uint8Array): void {
    let at = Math.min(this.#skip, chunk.length);
    this.#skip -= at;
    while (at < chunk.length) {
      at += this.#held < this.#wanted ? this.#hold(chunk, at) : this.#pass(chunk.length - at);
      if (this.#held >= HEADER_BYTES && this.#left === 0) this.#ended();
    }
  }

  #hold(chunk: Uint8Array, at: number): number {
    const piece = chunk.subarray(at, at + this.#wanted - this.#held);
    this.#head.set(piece, this.#held);
    if (this.#held >= HEADER_BYTES) this.#left -= piece.length;
    this.#held += piece.length;
    if (this.#wanted === HEADER_BYTES && this.#held === HEADER_BYTES) this.#begun();
    return piece.length;
  }

  #begun(): void {
    const head = this.#head;
    this.#left = head.readUIntBE(0, 3);
    this.#wanted += Math.min(this.#left, LOOKED_AT);
    this.#listener.onFrame?.({
      length: this.#left,
      type: head[3] ?? 0,
      flags: head[4] ?? 0,
      stream: head.readUInt32BE(5) & 0x7fffffff,
    });
  }

  #pass(most: number): number {
    const passed = Math.min(this.#left, most);
    this.#left -= passed;
    return passed;
  }

  #ended(): void {
    const goodbye = this.#wanted === this.#head.length && this.#head[3] === FrameType.goaway;
    this.#held = 0;
    this.#wanted = HEADER_BYTES;
    if (goodbye) this.#listener.onGoodbye?.(this.#head.readUInt32BE(HEADER_BYTES + 4));
  }
}

export interface FrameTapOptions {
  /** Who begins calls: "ours" for a client's session. */
  readonly calls: "ours" | "theirs";
  /** Told when this end says goodbye, with HTTP/2's code: 0 where nothing was wrong. */
  readonly onGoodbye?: (code: number) => void;
  /** The other end sends far more frames than it has reason to: nothing that it sends is passed on any more. */
  readonly onFlood: () => void;
  /** For tests: milliseconds. */
  readonly now?: () => number;
}

export class FrameTap extends Duplex {
  readonly #channel: Duplex;
  readonly #inward: FrameCursor;
  readonly #outward: FrameCursor;
  readonly #onFlood: () => void;
  #received = 0;
  #flooded = false;

  constructor(channel: Duplex, options: FrameTapOptions) {
    super({ allowHalfOpen: true });
    this.#channel = channel;
    const { calls, onGoodbye = () => undefined, onFlood, now } = options;
    const budget = new FrameBudget(calls, now);
    const ours = calls === "ours";
    this.#onFlood = onFlood;
    this.#inward = new FrameCursor(ours ? 0 : PREFACE_BYTES, {
      onFrame: (head) => {
        this.#flooded ||= !budget.received(head);
      },
    });
    this.#outward = new FrameCursor(ours ? PREFACE_BYTES : 0, {
      onFrame: (head) => budget.sent(head),
      onGoodbye,
    });
    channel.on("data", (chunk: Buffer) => this.#take(chunk));
    channel.once("end", () => this.push(null));
    channel.once("error", (error: Error) => this.destroy(error));
    channel.once("close", () => {
      // The last words of a VMM that has ended are still to be read.
      if (channel.readableEnded && !this.readableEnded) this.once("end", () => this.destroy());
      else this.destroy();
    });
  }

  /** Where the other end stands: in the middle of a frame or between two, after so many bytes. */
  get place(): { readonly inFrame: boolean; readonly received: number } {
    return { inFrame: this.#inward.inFrame, received: this.#received };
  }

  #take(chunk: Buffer): void {
    if (this.#flooded) return;
    this.#received += chunk.length;
    this.#inward.push(chunk);
    if (!this.#flooded) {
      if (!this.push(chunk)) this.#channel.pause();
      return;
    }
    this.#channel.pause();
    this.#onFlood();
  }

  override _read(): void {
    if (!this.#flooded) this.#channel.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#outward.push(chunk);
    this.#channel.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#channel.cork();
    for (const { chunk } of chunks) this.#outward.push(chunk);
    for (const [index, { chunk }] of chunks.entries()) {
      this.#channel.write(chunk, index === chunks.length - 1 ? done : undefined);
    }
    this.#channel.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#channel.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#channel.destroy();
    done(error);
  }
}
