// Stdin of one writer on its way to the program: what was not taken yet is held, bounded, so that a session that breaks
// loses nothing. Places count bytes, the end of the input as one more.

import { Notifier, until } from "../common/notifier.js";

export interface Piece {
  readonly data: Uint8Array;
  readonly eof: boolean;
}

/** Clients send less than this before they hear what was taken, so that their signals do not wait behind it. */
const MOST_HELD = 1 << 20;

export class InputBacklog {
  readonly #changed = new Notifier();
  readonly #pieces: { readonly at: bigint; readonly piece: Piece }[] = [];
  #taken = 0n;
  #end = 0n;
  #held = 0;
  #closed = false;
  #discards = false;

  get taken(): bigint {
    return this.#taken;
  }

  /** Nothing is left to be taken, and nothing more will come. */
  get isDone(): boolean {
    return this.#closed && (this.#pieces.length === 0 || this.#discards);
  }

  /** The first piece will be of this place: the writer has been there before. */
  beginAt(place: bigint): void {
    this.#taken = place;
    this.#end = place;
  }

  /** Waits for room. */
  async push(piece: Piece, signal: AbortSignal): Promise<void> {
    const room = () => (this.#held < MOST_HELD || this.#discards ? true : undefined);
    await until(this.#changed, room, signal);
    if (this.#discards || sizeOf(piece) === 0n) return;
    this.#pieces.push({ at: this.#end, piece });
    this.#end += sizeOf(piece);
    this.#held += piece.data.length;
    this.took(this.#taken);
  }

  close(): void {
    this.#closed = true;
    this.#changed.notify();
  }

  /** Nobody will take anything any more: what comes is dropped. */
  discard(): void {
    this.#discards = true;
    this.#pieces.splice(0);
    this.#changed.notify();
  }

  /** Lets go of what lies before the place; it may be ahead of what has come. */
  took(place: bigint): void {
    if (place > this.#taken) this.#taken = place;
    let first = this.#pieces[0];
    while (first !== undefined && first.at + sizeOf(first.piece) <= this.#taken) {
      this.#held -= first.piece.data.length;
      this.#pieces.shift();
      first = this.#pieces[0];
    }
    this.#changed.notify();
  }

  /** What was not taken, and what comes, until the writer has said all. */
  async *rest(signal: AbortSignal): AsyncGenerator<Piece, void, undefined> {
    let place = this.#taken;
    for (;;) {
      const next = await until(this.#changed, () => this.#after(place), signal);
      if (next === "end") return;
      const skip = place > next.at ? Number(place - next.at) : 0;
      place = next.at + sizeOf(next.piece);
      yield { ...next.piece, data: next.piece.data.subarray(skip) };
    }
  }

  #after(place: bigint): { at: bigint; piece: Piece } | "end" | undefined {
    const next = this.#pieces.find(({ at, piece }) => at + sizeOf(piece) > place);
    return next ?? (this.#closed ? "end" : undefined);
  }
}

function sizeOf({ data, eof }: Piece): bigint {
  return BigInt(data.length) + (eof ? 1n : 0n);
}
