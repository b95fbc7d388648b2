// Output cut into lines, for prefixes such as time stamps. Bytes stay bytes.

/** One line with its newline; the last of an output may lack it. */
export interface Line<Tag> {
  readonly tag: Tag;
  readonly data: Buffer;
}

/** A line longer than this is given in pieces: a guest that never writes a newline must not fill this process. */
const MAX_LINE_BYTES = 1024 * 1024;

/** Cuts chunks into lines. A line carries the tag of its first byte. */
export class LineSplitter<Tag> {
  #held: Buffer[] = [];
  #size = 0;
  #tag: Tag | undefined;

  push(data: Uint8Array, tag: Tag): Line<Tag>[] {
    const lines: Line<Tag>[] = [];
    let rest = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    while (rest.length > 0) {
      const newline = rest.indexOf(0x0a);
      const end = newline < 0 ? rest.length : newline + 1;
      this.#tag ??= tag;
      this.#held.push(rest.subarray(0, end));
      this.#size += end;
      rest = rest.subarray(end);
      if (newline >= 0 || this.#size >= MAX_LINE_BYTES) lines.push(...this.finish());
    }
    return lines;
  }

  /** The line that was begun, if any. */
  finish(): Line<Tag>[] {
    const tag = this.#tag;
    if (tag === undefined) return [];
    const line = { tag, data: Buffer.concat(this.#held) };
    this.#held = [];
    this.#size = 0;
    this.#tag = undefined;
    return [line];
  }
}
