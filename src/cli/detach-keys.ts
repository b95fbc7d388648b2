// Keys that leave an attached program running: Docker's `--detach-keys` syntax, and a filter for what is typed.

import { usageError } from "./usage-error.js";

/** Docker's. */
export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

const CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_";

/**
 * The bytes of "ctrl-p,ctrl-q", "ctrl-a,d" or "x"; none for "", which turns detaching off.
 *
 * @throws KilnError invalid_argument `usage`
 */
export function parseDetachKeys(text: string): readonly number[] {
  if (text === "") return [];
  return text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-(.)$/i.exec(key)?.[1]?.toLowerCase();
    const code = control === undefined ? -1 : CONTROL.indexOf(control);
    if (code >= 0) return code;
    throw usageError("", `--detach-keys: "${key}" is neither one character nor ctrl- and one of ${CONTROL}`);
  });
}

/** Looks for the keys in what is typed. Bytes that may begin them are held back until it is clear that they do not. */
export class DetachFilter {
  readonly #keys: readonly number[];
  #held = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** What of the input goes to the program, and whether the keys were pressed. Nothing after them counts. */
  push(input: Uint8Array): { readonly data: Uint8Array; readonly detach: boolean } {
    if (this.#keys.length === 0) return { data: input, detach: false };
    const out: number[] = [];
    for (const byte of input) {
      this.#take(byte, out);
      if (this.#held === this.#keys.length) return { data: Uint8Array.from(out), detach: true };
    }
    return { data: Uint8Array.from(out), detach: false };
  }

  #take(byte: number, out: number[]): void {
    if (byte === this.#keys[this.#held]) {
      this.#held++;
      return;
    }
    // The longest end of what was held (with this byte) that may still begin the keys stays held; the rest goes on.
    const pending = [...this.#keys.slice(0, this.#held), byte];
    let keep = pending.length - 1;
    while (
      keep > 0 &&
      !this.#keys.slice(0, keep).every((key, index) => key === pending[pending.length - keep + index])
    ) {
      keep--;
    }
    out.push(...pending.slice(0, pending.length - keep));
    this.#held = keep;
  }
}
