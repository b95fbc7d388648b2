// Connect's stream framing (https://connectrpc.com/docs/protocol/#streaming-rpcs): one flag byte, a big-endian
// length, the message. Knows nothing of HTTP or of what the messages say.

import { Code, KilnError } from "../base/errors.js";

/** Set where the message is compressed; we never ask for that. */
export const FLAG_COMPRESSED = 0x01;
/** Set on the last envelope: its message is the status of the call. */
export const FLAG_END_STREAM = 0x02;

const HEADER_BYTES = 5;

/** One framed message. */
export interface Envelope {
  readonly flags: number;
  readonly payload: Buffer;
}

/** One message, framed. */
export function encodeEnvelope(flags: number, payload: string | Uint8Array): Buffer {
  const length = typeof payload === "string" ? Buffer.byteLength(payload) : payload.byteLength;
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  frame[0] = flags;
  frame.writeUInt32BE(length, 1);
  if (typeof payload === "string") frame.write(payload, HEADER_BYTES, "utf8");
  else frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Cuts a byte stream into envelopes, however it was chunked. */
export class EnvelopeReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #buffered = 0;

  /** @param maxBytes longest message taken: a peer that announces more is refused before it is buffered. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes held that do not make a whole envelope yet. */
  get pending(): number {
    return this.#buffered;
  }

  /**
   * Takes the next bytes and gives every envelope that is now whole.
   *
   * @throws KilnError resource_exhausted `message-too-large`
   */
  push(chunk: Buffer): Envelope[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const out: Envelope[] = [];
    for (;;) {
      const header = this.#peekHeader();
      if (header === undefined || this.#buffered < HEADER_BYTES + header.length) return out;
      const frame = this.#take(HEADER_BYTES + header.length);
      out.push({ flags: header.flags, payload: frame.subarray(HEADER_BYTES) });
    }
  }

  #peekHeader(): { flags: number; length: number } | undefined {
    if (this.#buffered < HEADER_BYTES) return undefined;
    const first = this.#chunks[0];
    // A header cut by a chunk border: join once, so that the rest of this loop reads plain memory.
    const bytes = first !== undefined && first.length >= HEADER_BYTES ? first : this.#join();
    const length = bytes.readUInt32BE(1);
    if (length > this.#maxBytes) {
      throw new KilnError(Code.ResourceExhausted, `kilnd sent a message of ${length} bytes`, {
        reason: "message-too-large",
        details: { limitBytes: String(this.#maxBytes) },
      });
    }
    return { flags: bytes[0] ?? 0, length };
  }

  #take(length: number): Buffer {
    const first = this.#chunks[0];
    const bytes = first !== undefined && first.length >= length ? first : this.#join();
    this.#buffered -= length;
    this.#chunks[0] = bytes.subarray(length);
    if (this.#chunks[0].length === 0) this.#chunks.shift();
    return bytes.subarray(0, length);
  }

  #join(): Buffer {
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [bytes];
    return bytes;
  }
}
