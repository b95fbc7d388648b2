// Output kept in memory, up to a cap.

import type { InspectOptions, inspect as nodeInspect } from "node:util";

/** Default cap of collected output, stdout and stderr each. */
export const DEFAULT_MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** What a program wrote to one of its streams. Bytes; text is their UTF-8. */
export class CapturedOutput {
  readonly bytes: Uint8Array;
  /** True where the program wrote more than was kept. */
  readonly truncated: boolean;

  constructor(bytes: Uint8Array, truncated: boolean) {
    this.bytes = bytes;
    this.truncated = truncated;
  }

  /** The whole of it, final newline included. */
  get text(): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength).toString("utf8");
  }

  /** Its lines, without their ends. */
  lines(): string[] {
    const lines = this.text.split(/\r?\n/);
    if (lines.at(-1) === "") lines.pop();
    return lines;
  }

  /** In JSON it is its text, "truncated" beside it being the result's. */
  toJSON(): string {
    return this.text;
  }

  /** What console.log shows: text, not numbers. */
  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: InspectOptions,
    inspect: typeof nodeInspect,
  ): string {
    return `CapturedOutput ${inspect(this.text, options)}${this.truncated ? " (cut)" : ""}`;
  }

  /** `${result.stdout}` is its text. */
  toString(): string {
    return this.text;
  }
}

/** Collects chunks; what goes beyond the cap is counted, not kept. */
export class OutputCollector {
  readonly #maxBytes: number;
  readonly #chunks: Uint8Array[] = [];
  #size = 0;
  #truncated = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(data: Uint8Array): void {
    const room = this.#maxBytes - this.#size;
    if (data.byteLength > room) this.#truncated = true;
    const kept = data.byteLength > room ? data.subarray(0, room) : data;
    if (kept.byteLength === 0) return;
    this.#chunks.push(kept);
    this.#size += kept.byteLength;
  }

  finish(): CapturedOutput {
    return new CapturedOutput(Buffer.concat(this.#chunks), this.#truncated);
  }
}
