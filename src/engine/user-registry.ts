// Which VM of this host has which user. Daemons with data roots of their own give users out of one range, and two VMs
// of the same user read each other's disks: so each user is a file of one registry, made under one lock, that names the
// VM and its data root. A claim outlives reboots, as VMs do; one whose VM is gone is anybody's.

import { randomInt } from "node:crypto";
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Code, KilnError } from "../base/errors.js";
import { exists, readJson, writeJsonAtomic } from "../base/files.js";
import { KeyedLock } from "../base/lock.js";
import { waitForLockFile } from "../base/lock-file.js";
import { removeFile } from "../base/move-aside.js";
import { identifyProcess, isAlive, type ProcessId } from "../base/processes.js";
import { makeTrustedDirectory } from "../base/trusted-path.js";

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

/** Each holds it for a few file operations. */
const PATIENCE_MS = 20_000;

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
  allocate(vm: string): Promise<number> {
    return this.#locked(() => this.#allocate(vm));
  }

  /** The user that a VM has: `uid`, where that is no other VM's, else a new one. */
  hold(vm: string, uid: number): Promise<number> {
    return this.#locked(async () => {
      const { firstUid, count } = this.#range;
      if (uid < firstUid || uid >= firstUid + count) return this.#allocate(vm);
      const claim = await this.#read(uid);
      if (claim?.dataRoot === this.#dataRoot && claim.vm === vm) return uid;
      if (claim !== undefined && (await isHeld(claim))) return this.#allocate(vm);
      return this.#claim(uid, vm);
    });
  }

  /** Gives a user back; nothing where it is another VM's. */
  release(vm: string, uid: number): Promise<void> {
    return this.#locked(async () => {
      const claim = await this.#read(uid);
      if (claim?.dataRoot === this.#dataRoot && claim.vm === vm) await removeFile(this.#path(uid));
    });
  }

  /** Removes claims that this root's VMs don't have any more, and those of roots that are gone. */
  tidy(users: ReadonlyMap<string, number>): Promise<void> {
    return this.#locked(async () => {
      for (const uid of await this.#uids()) {
        const claim = await this.#read(uid);
        if (claim?.dataRoot === this.#dataRoot ? users.get(claim.vm) !== uid : !(await isHeld(claim))) {
          await removeFile(this.#path(uid));
        }
      }
    });
  }

  async #allocate(vm: string): Promise<number> {
    const { firstUid, count } = this.#range;
    const taken = new Set(await this.#uids());
    // Begins anywhere: a kilnd of a release without a registry begins at the first.
    const start = randomInt(count);
    for (let tried = 0; tried < count; tried++) {
      const uid = firstUid + ((start + tried) % count);
      if (!taken.has(uid)) return this.#claim(uid, vm);
    }
    for (const uid of taken) {
      const inRange = uid >= firstUid && uid < firstUid + count;
      if (inRange && !(await isHeld(await this.#read(uid)))) return this.#claim(uid, vm);
    }
    throw new KilnError(Code.ResourceExhausted, `all ${count} user ids for VMs are taken`, {
      reason: "no-user-id-left",
    });
  }

  async #claim(uid: number, vm: string): Promise<number> {
    const claim: Claim = { dataRoot: this.#dataRoot, vm, by: this.#self };
    await writeJsonAtomic(this.#path(uid), claim, { durable: false });
    return uid;
  }

  /** Undefined where nobody has it; a damaged one is nobody's. */
  async #read(uid: number): Promise<Claim | undefined> {
    const value = await readJson(this.#path(uid)).catch((error: unknown) => {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    });
    const parsed = v.safeParse(ClaimSchema, value);
    return parsed.success ? parsed.output : undefined;
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

/** True while the claim's VM exists, or may be about to. */
async function isHeld(claim: Claim | undefined): Promise<boolean> {
  if (claim === undefined) return false;
  if (await exists(join(claim.dataRoot, "vms", claim.vm))) return true;
  const root = await stat(claim.dataRoot).catch(() => undefined);
  return root !== undefined && (await isAlive(claim.by));
}
