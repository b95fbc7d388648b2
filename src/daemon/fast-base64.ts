// Base64 by Node's own code where this Node lacks the language's (toBase64 and setFromBase64 of Uint8Array): protobuf's
// JSON form, in which all data travels, else works byte by byte, nearly half a second for each MB. Import it before protobuf
// in a program: a library must not change what belongs to everybody.

import { Buffer } from "node:buffer";

interface Base64Options {
  readonly alphabet?: "base64" | "base64url";
  readonly omitPadding?: boolean;
}

type Decoder = (this: Uint8Array, text: string) => { read: number; written: number };
type Encoder = (this: Uint8Array, options?: Base64Options) => string;

/** As TC39's toBase64 says it. */
export function toBase64(bytes: Uint8Array, options: Base64Options = {}): string {
  const { alphabet = "base64", omitPadding = false } = options;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(alphabet);
  // Node pads the one and not the other.
  if (alphabet === "base64") return omitPadding ? text.replace(/=+$/, "") : text;
  return omitPadding ? text : text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}

/** As TC39's setFromBase64 says it. @throws SyntaxError for what is no base64 in its strict form */
export function setFromBase64(bytes: Uint8Array, text: string): { read: number; written: number } {
  const digits = text.replace(/={1,2}$/, "");
  if (text.length % 4 !== 0 || /[^A-Za-z0-9+/]/.test(digits)) throw new SyntaxError("invalid base64");
  const target = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { read: text.length, written: target.write(text, "base64") };
}

(Uint8Array.prototype as { setFromBase64?: Decoder }).setFromBase64 ??= function (this: Uint8Array, text) {
  return setFromBase64(this, text);
};

(Uint8Array.prototype as { toBase64?: Encoder }).toBase64 ??= function (this: Uint8Array, options) {
  return toBase64(this, options);
};
