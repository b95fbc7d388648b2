// How kilnd finds the processes that it started for its VMs when no record names them (it was killed between a spawn and
// the record): each gets a mark in its environment that only the holder of this data root's key can make. Text that
// anybody may have on a command line, a name, a path, proves nothing.

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import { KilnError } from "../../base/errors.js";
import { readKeptText, writeKeptText } from "../../base/kept-file.js";
import type { Logger } from "../../base/log.js";

/** The variable; a jail that clears the environment must set it anew. */
export const OWNER_VARIABLE = "KILN_OWNER";

const KEY_FILE = "owner.key";
const KEY = /^[0-9a-f]{64}\n$/;
const TOKEN = /^([0-9a-f]{16})\.([0-9a-f]{64})$/;
const MARK = /(?:^|\0)KILN_OWNER=([0-9a-f]{16}\.[0-9a-f]{64})\0/;
/** Of an environment; the processes that kilnd starts have small ones. */
const MOST_ENVIRONMENT = 64 * 1024;

export class OwnerMark {
  /** Of nobody's until `open` has read the root's. */
  #key = newKey();

  /**
   * Takes the data root's key, made at the first start. One that can't be kept is none for the next kilnd: it then
   * finds no process that no record names, which is the safe side.
   */
  async open(dataRoot: string, log: Logger): Promise<void> {
    const path = join(dataRoot, KEY_FILE);
    const kept = await readKeptText(path, (text) => (KEY.test(text) ? text.trim() : undefined));
    if (kept.value !== undefined) {
      this.#key = kept.value;
      return;
    }
    if (kept.damage !== undefined) {
      log.warn("the key that marks this root's processes is damaged, a new one is made", { path });
    }
    await writeKeptText(path, `${this.#key}\n`).catch((error: unknown) =>
      log.warn("the key that marks this root's processes can't be kept", {
        why: KilnError.from(error).message,
      }),
    );
  }

  /** What every process started for the VM of this run directory gets. */
  environment(runDirectory: string): Readonly<Record<string, string>> {
    return { [OWNER_VARIABLE]: this.token(runDirectory) };
  }

  /** The mark itself, of a VM by the name of its run directory. */
  token(runDirectory: string): string {
    const name = basename(runDirectory);
    return `${name}.${this.#sign(name)}`;
  }

  /** The name that a mark of this root's bears; undefined for another's. */
  nameIn(token: string): string | undefined {
    const [, name = "", signature = ""] = TOKEN.exec(token) ?? [];
    if (name === "") return undefined;
    return timingSafeEqual(Buffer.from(this.#sign(name)), Buffer.from(signature)) ? name : undefined;
  }

  /** The name of the run directory that a process was started for; undefined where no kilnd of this root did. */
  async read(pid: number): Promise<string | undefined> {
    return this.parse(await environmentOf(pid));
  }

  /** @param environment as /proc/<pid>/environ has it */
  parse(environment: string): string | undefined {
    return this.nameIn(MARK.exec(environment)?.[1] ?? "");
  }

  #sign(name: string): string {
    return createHmac("sha256", this.#key).update(name).digest("hex");
  }
}

function newKey(): string {
  return randomBytes(32).toString("hex");
}

/** Empty for kernel threads, for what has ended and for processes that this user may not look into. */
async function environmentOf(pid: number): Promise<string> {
  const file = await open(`/proc/${pid}/environ`, "r").catch(() => undefined);
  if (file === undefined) return "";
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_ENVIRONMENT), 0, MOST_ENVIRONMENT, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } catch {
    return "";
  } finally {
    await file.close();
  }
}
