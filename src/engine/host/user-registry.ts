// Which VM of this host has which user. Daemons with data roots of their own give users out of one range, and two VMs
// of the same user read each other's disks: so each user is a file of one registry, made in one step, that names the
// VM and its data root. A claim outlives reboots, as VMs do; one whose VM is gone is anybody's, under one lock.

import { randomInt } from "node:crypto";
import { link, readdir, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { exists, readJson, removeLeftovers, writeBeside } from "../../base/files.js";
import { KeyedLock } from "../../base/lock.js";
import { waitForLockFile } from "../../base/lock-file.js";
import { removeFile } from "../../base/move-aside.js";
import { identifyProcess, isAlive, type ProcessId } from "../../base/processes.js";
import { makeTrustedDirectory } from "../../base/trusted-path.js";

export interface UserRange {
  readonly firstUid: number;
  readonly count: number;
}

const ClaimSchema = v.object({
  dataRoot: v.string(),
  vm: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** Makes the VM, which is not on disk yet. */
  by: v.object({ pid: v.number(), startTime: v.string() }),
});
type Claim = v.InferOutput<typeof ClaimSchema>;
type Found = Claim | "missing" | "damaged";

/** Each holds it for a few file operations. */
const PATIENCE_MS = 20_000;
const UNLOCKED_TRIES = 4;
/** Far longer than anybody makes a file. */
const LEFTOVER_MS = 3_600_000;

/** Which VM of which data root has which user of the host: one directory for all kilnds of it. */
export class UserRegistry {
  readonly #directory: string;
  readonly #dataRoot: string;
  readonly #range: UserRange;
  readonly #self: ProcessId;
  readonly #turn = new KeyedLock();

  private constructor(directory: string, dataRoot: string, range: UserRange, self: ProcessId) {
    this.#directory = directory;
    this.#dataRoot = dataRoot;
    this.#range = range;
    this.#self = self;
  }

  /** @throws KilnError permission_denied `unsafe-path` */
  static async open(directory: string, dataRoot: string, range: UserRange): Promise<UserRegistry> {
    await makeTrustedDirectory(directory);
    const self = await identifyProcess(process.pid);
    if (self === undefined) throw new Error("this process has no start time");
    return new UserRegistry(directory, await realpath(dataRoot), range, self);
  }

  /** A user for a new VM. @throws KilnError resource_exhausted `no-user-id-left` */
  async allocate(vm: string): Promise<number> {
    const { firstUid, count } = this.#range;
    // A user that nobody has is claimed in one step, which needs no lock. Few tries miss while few users are taken.
    for (let tries = 0; tries < UNLOCKED_TRIES; tries++) {
      const uid = firstUid + randomInt(count);
      if (await this.#claim(uid, vm)) return uid;
    }
    return this.#locked(() => this.#allocate(vm));
  }

  /** The user that a VM has: `uid`, where that is no other VM's, else a new one. */
  hold(vm: string, uid: number): Promise<number> {
    return this.#locked(async () => {
      const { firstUid, count } = this.#range;
      if (uid < firstUid || uid >= firstUid + count) return this.#allocate(vm);
      if (await this.#claim(uid, vm)) return uid;
      const found = await this.#read(uid);
      if (this.#isOurs(found, vm)) return uid;
      return (await this.#takeOver(uid, found, vm)) ? uid : this.#allocate(vm);
    });
  }

  /** Gives a user back; nothing where it is another VM's. */
  async release(vm: string, uid: number): Promise<void> {
    const found = await this.#read(uid);
    // What this process claimed is nobody else's while it lives. What an earlier kilnd did is anybody's without its VM.
    if (this.#isOurs(found, vm) && isSame(found.by, this.#self)) return removeFile(this.#path(uid));
    await this.#locked(async () => {
      if (this.#isOurs(await this.#read(uid), vm)) await removeFile(this.#path(uid));
    });
  }

  /** Removes claims that this root's VMs don't have any more, those of roots that are gone, and what kills left. */
  tidy(users: ReadonlyMap<string, number>): Promise<void> {
    return this.#locked(async () => {
      for (const uid of await this.#uids()) {
        const found = await this.#read(uid);
        const isTheirs = typeof found !== "object" || found.dataRoot !== this.#dataRoot;
        if (isTheirs ? await isLost(found) : users.get(found.vm) !== uid) await removeFile(this.#path(uid));
      }
      await removeLeftovers(this.#directory, LEFTOVER_MS);
    });
  }

  async #allocate(vm: string): Promise<number> {
    const { firstUid, count } = this.#range;
    const taken = new Set(await this.#uids());
    // Begins anywhere: a kilnd of a release without a registry begins at the first.
    const start = randomInt(count);
    for (let tried = 0; tried < count; tried++) {
      const uid = firstUid + ((start + tried) % count);
      if (!taken.has(uid) && (await this.#claim(uid, vm))) return uid;
    }
    for (const uid of taken) {
      const inRange = uid >= firstUid && uid < firstUid + count;
      if (inRange && (await this.#takeOver(uid, await this.#read(uid), vm))) return uid;
    }
    throw new KilnError(Code.ResourceExhausted, `all ${count} user ids for VMs are taken`, {
      reason: "no-user-id-left",
    });
  }

  /** @returns false where there is a claim */
  async #claim(uid: number, vm: string): Promise<boolean> {
    const claim: Claim = { dataRoot: this.#dataRoot, vm, by: this.#self };
    const path = this.#path(uid);
    // Whole before it bears its name: a half-written claim would be nobody's.
    const temp = await writeBeside(path, `${JSON.stringify(claim, null, 1)}\n`, { durable: false });
    try {
      await link(temp, path);
      return true;
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return false;
      throw error;
    } finally {
      await rm(temp, { force: true });
    }
  }

  /**
   * Under the lock, which those who claim what is not there and give back their own do without: so what is missing is
   * claimed as by them, never removed. It may be another's again by now.
   *
   * @returns false where it is held
   */
  async #takeOver(uid: number, found: Found, vm: string): Promise<boolean> {
    if (await isLost(found)) await removeFile(this.#path(uid));
    else if (found !== "missing") return false;
    return this.#claim(uid, vm);
  }

  #isOurs(found: Found, vm: string): found is Claim {
    return typeof found === "object" && found.dataRoot === this.#dataRoot && found.vm === vm;
  }

  async #read(uid: number): Promise<Found> {
    try {
      const value = await readJson(this.#path(uid));
      if (value === undefined) return "missing";
      const parsed = v.safeParse(ClaimSchema, value);
      return parsed.success ? parsed.output : "damaged";
    } catch (error) {
      if (error instanceof SyntaxError) return "damaged";
      throw error;
    }
  }

  async #uids(): Promise<number[]> {
    const names = await readdir(this.#directory);
    return names.filter((name) => /^[0-9]+$/.test(name)).map(Number);
  }

  #path(uid: number): string {
    return join(this.#directory, String(uid));
  }

  async #locked<T>(body: () => Promise<T>): Promise<T> {
    const path = join(this.#directory, "lock");
    const busy = () =>
      new KilnError(Code.Unavailable, `the registry of VMs' users in ${this.#directory} stays locked`, {
        reason: "user-registry-busy",
      });
    return this.#turn.run("", async () => {
      const lock = await waitForLockFile(path, busy, PATIENCE_MS).catch((error: unknown) => {
        throw KilnError.from(error, "take a user id for a VM");
      });
      try {
        return await body();
      } finally {
        await lock.release();
      }
    });
  }
}

/**
 * True of a claim that is anybody's: nobody makes its VM any more, nor is it there. In this order, because a VM may have
 * come to be before its maker has ended. A damaged one is nobody's.
 */
async function isLost(found: Found): Promise<boolean> {
  if (typeof found !== "object") return found === "damaged";
  return !(await isAlive(found.by)) && !(await exists(join(found.dataRoot, "vms", found.vm)));
}

function isSame(one: ProcessId, other: ProcessId): boolean {
  return one.pid === other.pid && one.startTime === other.startTime;
}
