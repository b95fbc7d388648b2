// The hello as bytes: how the host finds the start of a session on a stream that may still hold bytes of the last one.
// Pure; docs/design/0005-channel.md describes the wire, agent/guest/src/channel/hello.rs is the other end.

import { Buffer } from "node:buffer";

/** Length of a hello and of its echo, bytes: magic 8, version u16 big endian, 6 zero bytes, nonce 16. */
export const HELLO_BYTES = 32;
export const NONCE_BYTES = 16;
const VERSION = 1;
// An HTTP/2 parser that meets these in place of a frame reads a length of 2^24 - 1 and gives up at once.
const MAGIC = Buffer.from("\xff\xff\xff\xfeKILN", "latin1");
const ECHO_MAGIC = Buffer.from("\xff\xff\xff\xfdKILN", "latin1");

/** @param nonce 16 random bytes */
export function encodeHello(nonce: Uint8Array): Buffer {
  return encode(MAGIC, nonce);
}

/** What the agent answers. For tests and for the other end's fuzzing. */
export function encodeEcho(nonce: Uint8Array): Buffer {
  return encode(ECHO_MAGIC, nonce);
}

function encode(magic: Buffer, nonce: Uint8Array): Buffer {
  const bytes = Buffer.alloc(HELLO_BYTES);
  magic.copy(bytes);
  bytes.writeUInt16BE(VERSION, 8);
  bytes.set(nonce.subarray(0, NONCE_BYTES), 16);
  return bytes;
}

export interface EchoFound {
  /** The agent's protocol version. */
  readonly version: number;
  /** What came after it; nothing, unless the other end is no agent. */
  readonly rest: Buffer;
}

/** Finds the echo of the nonce said last; drops everything before it. Holds less than one echo. */
export class EchoScanner {
  #nonce: Uint8Array = new Uint8Array();
  #held: Buffer = Buffer.alloc(0);
  #dropped = 0;
  #heardAnother = false;

  /** From now on only the echo of this nonce counts. */
  expect(nonce: Uint8Array): void {
    this.#nonce = nonce;
  }

  /** Bytes that were no echo so far, or another's. */
  get dropped(): number {
    return this.#dropped;
  }

  /** An echo of another nonce has come, most likely of an earlier one of ours. */
  get heardAnother(): boolean {
    return this.#heardAnother;
  }

  /** Undefined while the echo has not come. */
  push(chunk: Uint8Array): EchoFound | undefined {
    const bytes = this.#held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#held, chunk]);
    for (let at = bytes.indexOf(ECHO_MAGIC); at >= 0; at = bytes.indexOf(ECHO_MAGIC, at + 1)) {
      if (bytes.length - at < HELLO_BYTES) return this.#keep(bytes, at);
      const nonce = bytes.subarray(at + 16, at + HELLO_BYTES);
      if (!nonce.equals(this.#nonce)) {
        this.#heardAnother = true;
        continue;
      }
      this.#dropped += at;
      return { version: bytes.readUInt16BE(at + 8), rest: bytes.subarray(at + HELLO_BYTES) };
    }
    // The tail may be the beginning of a magic.
    return this.#keep(bytes, Math.max(0, bytes.length - (ECHO_MAGIC.length - 1)));
  }

  #keep(bytes: Buffer, from: number): undefined {
    this.#dropped += from;
    this.#held = bytes.subarray(from);
  }
}
