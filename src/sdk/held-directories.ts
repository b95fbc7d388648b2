// Directories of an archive that is being unpacked: which are known to be real, and what they still have to become. Bounded,
// for an archive may name any number of them, or one for ever.

import type { TarEntry } from "../base/tar-format.js";

export type DirectoryAttributes = Pick<TarEntry, "mode" | "uid" | "gid" | "mtimeMs">;

const MOST_HELD_BYTES = 32 << 20;
/** What a name costs beside its letters. */
const OVERHEAD = 256;

export class HeldDirectories {
  readonly #most: number;
  readonly #pending = new Map<string, DirectoryAttributes>();
  #pendingBytes = 0;
  #real = new Set<string>();
  #realBytes = 0;

  constructor(mostBytes = MOST_HELD_BYTES) {
    this.#most = mostBytes;
  }

  /** Below the root it may have been forgotten since: then it is looked at again. */
  isReal(name: string): boolean {
    return name === "" || this.#real.has(name);
  }

  noteReal(name: string): void {
    if (this.#realBytes > this.#most) {
      this.#real = new Set();
      this.#realBytes = 0;
    }
    if (!this.#real.has(name)) this.#realBytes += name.length + OVERHEAD;
    this.#real.add(name);
  }

  /**
   * Remembers what the directory shall become; the last word on it counts.
   *
   * @returns what has to be applied at once, for there is no room: all but the directory and those it lies in, since
   * archives come directory by directory
   */
  later(name: string, { mode, uid, gid, mtimeMs }: DirectoryAttributes): [string, DirectoryAttributes][] {
    if (!this.#pending.has(name)) this.#pendingBytes += name.length + OVERHEAD;
    this.#pending.set(name, { mode, uid, gid, mtimeMs });
    return this.#pendingBytes > this.#most ? this.#take((other) => !`${name}/`.startsWith(`${other}/`)) : [];
  }

  rest(): [string, DirectoryAttributes][] {
    return this.#take(() => true);
  }

  /** What lies within comes first: its parent may soon let nobody in. */
  #take(wanted: (name: string) => boolean): [string, DirectoryAttributes][] {
    const taken = [...this.#pending].filter(([name]) => wanted(name));
    for (const [name] of taken) {
      this.#pending.delete(name);
      this.#pendingBytes -= name.length + OVERHEAD;
    }
    return taken.sort(([one], [other]) => (one < other ? 1 : -1));
  }
}
