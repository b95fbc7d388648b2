// Names that say "rubbish": ".creating-<id>", ".removing-<id>". What a kill or a failed removal has left bears one, and so
// does what is being made or removed at this moment; only this process knows which is which.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { allocatedBytes, directoryBytes } from "./files.js";
import { KeyedLock } from "./lock.js";

export interface Cleared {
  readonly bytes: number;
  readonly failed: readonly { readonly path: string; readonly error: unknown }[];
}

export class HalfMade {
  readonly #root: string;
  readonly #prefixes: readonly string[];
  readonly #lock = new KeyedLock();
  readonly #busy = new Set<string>();

  constructor(root: string, prefixes: readonly string[]) {
    this.#root = root;
    this.#prefixes = prefixes;
  }

  /** True of a name in the root. */
  is(name: string): boolean {
    return this.#prefixes.some((prefix) => name.startsWith(prefix));
  }

  /** Works on what bears that name: nobody takes it for a leftover meanwhile. */
  at<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#lock.run(name, async () => {
      this.#busy.add(name);
      try {
        return await work();
      } finally {
        this.#busy.delete(name);
      }
    });
  }

  /** Names of those that nobody works on. */
  async leftovers(): Promise<string[]> {
    return (await readdir(this.#root)).filter((name) => this.is(name) && !this.#busy.has(name));
  }

  /** Removes those. One that can't be removed keeps no other. */
  async clear(): Promise<Cleared> {
    let bytes = 0;
    const failed: { path: string; error: unknown }[] = [];
    for (const name of await this.leftovers()) {
      const path = join(this.#root, name);
      await this.at(name, async () => {
        const size = (await allocatedBytes(path)) + (await directoryBytes(path));
        await rm(path, { recursive: true, force: true });
        bytes += size;
      }).catch((error: unknown) => failed.push({ path, error }));
    }
    return { bytes, failed };
  }
}
