// What a program has been given and may not have got yet: kept until it is known to be taken, to be given again, from
// where it was lost, after a connection broke. Pure.

interface Piece<Message> {
  readonly message: Message;
  /** Where it ends; the end of stdin counts as one byte. */
  readonly end: number;
  readonly bytes: Buffer | undefined;
}

/** Bytes that may be on their way: both ends rely on it, so that nothing else waits behind stdin. */
const STDIN_CREDIT_BYTES = 512 * 1024;

export class KeptInput<Message> {
  readonly #encode: (data: Buffer) => Message;
  #pieces: Piece<Message>[] = [];
  #sent = 0;
  #taken = 0;

  constructor(encode: (data: Buffer) => Message) {
    this.#encode = encode;
  }

  get isFull(): boolean {
    return this.#sent - this.#taken >= STDIN_CREDIT_BYTES;
  }

  /** Keeps a message with these bytes; without any it is the end. */
  add(message: Message, bytes: Buffer | undefined): void {
    this.#sent += bytes === undefined ? 1 : bytes.length;
    this.#pieces.push({ message, end: this.#sent, bytes });
  }

  /** All below this place has arrived. */
  take(taken: number): void {
    if (taken <= this.#taken || taken > this.#sent) return;
    this.#taken = taken;
    this.#pieces = this.#pieces.filter(({ end }) => end > taken);
  }

  /** What has to be given again. */
  missing(): Message[] {
    return this.#pieces.map(({ message, end, bytes }) => {
      const already = bytes === undefined ? 0 : this.#taken - (end - bytes.length);
      return bytes === undefined || already <= 0 ? message : this.#encode(bytes.subarray(already));
    });
  }

  /** Nothing is ever given again. */
  drop(): void {
    this.#pieces = [];
    this.#taken = this.#sent;
  }
}
