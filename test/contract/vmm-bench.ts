// What every VMM contract test needs: a driver, a guest, private directories, and no VM left at the end.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, open, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { hasReason } from "../../src/base/errors.js";
import { newId } from "../../src/base/ids.js";
import { isAlive, signalProcess } from "../../src/base/processes.js";
import { delay } from "../../src/base/runtime.js";
import type { DiskSpec, VmmDriver, VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import type { ConfinerOptions } from "../../src/vmm/jail/confiner.js";
import { GuestShell, makeTestGuest, type TestGuest } from "../fixtures/vmm-guest.js";

export const MIB = 1024 * 1024;

/**
 * Makes the driver under test anew, as a later kilnd would.
 *
 * @param netguard default: the one that set-up built
 * @param confinement default: this host's
 */
export type DriverFactory = (
  cacheDirectory: string,
  netguard?: string,
  confinement?: ConfinerOptions,
) => VmmDriver;

export class VmmBench implements AsyncDisposable {
  readonly root: string;
  readonly guest: TestGuest;
  readonly #makeDriver: DriverFactory;
  readonly #handles: VmmHandle[] = [];
  #count = 0;

  private constructor(root: string, guest: TestGuest, makeDriver: DriverFactory) {
    this.root = root;
    this.guest = guest;
    this.#makeDriver = makeDriver;
  }

  static async open(
    makeDriver: DriverFactory,
    makeGuest: (root: string) => Promise<TestGuest> = makeTestGuest,
  ): Promise<VmmBench> {
    const root = await mkdtemp(join(tmpdir(), "kv-"));
    await mkdir(join(root, "cache"));
    return new VmmBench(root, await makeGuest(root), makeDriver);
  }

  newDriver(): VmmDriver {
    return this.#makeDriver(join(this.root, "cache"));
  }

  /** A VM of 256 MiB and one vCPU without disks and network, with directories of its own. */
  async spec(change: Partial<VmmSpec> = {}): Promise<VmmSpec> {
    const base = join(this.root, `v${this.#count++}`);
    const [runDirectory, stateDirectory] = [join(base, "run"), join(base, "state")];
    await mkdir(runDirectory, { recursive: true });
    await mkdir(stateDirectory, { recursive: true });
    return {
      vmId: newId(),
      runDirectory,
      stateDirectory,
      kernel: this.guest.kernel,
      initrd: this.guest.initrd,
      kernelArgs: [],
      vcpus: 1,
      memoryBytes: 256 * MIB,
      disks: [],
      cards: [],
      ports: [],
      ...change,
    };
  }

  /** A sparse raw disk that begins with its own id. */
  async disk(id: string, sizeBytes: number, readOnly: boolean): Promise<DiskSpec> {
    const path = join(this.root, `${id}-${this.#count++}.img`);
    const file = await open(path, "wx");
    await file.write(`disk ${id}\n`);
    await file.truncate(sizeBytes);
    await file.close();
    return { id, path, readOnly };
  }

  async launch(change: Partial<VmmSpec> = {}): Promise<VmmHandle> {
    return this.adopt(await this.newDriver().launch(await this.spec(change)));
  }

  /** Sees to it that the VM is gone at the end, whatever the test finds. */
  adopt(handle: VmmHandle): VmmHandle {
    this.#handles.push(handle);
    return handle;
  }

  /** Returns when the processes are gone, and with them their hold on disks and file systems. */
  async killAll(): Promise<void> {
    for (const handle of this.#handles.splice(0)) {
      await signalProcess(handle.record.process, "SIGKILL");
      await handle.detach();
      while (await isAlive(handle.record.process)) await delay(5);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killAll();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** The shell of a guest; returns once the guest has answered. */
export async function shellOf(handle: VmmHandle): Promise<GuestShell> {
  const shell = new GuestShell(await dialWhenUp(handle));
  assert.equal(await shell.output("echo ready"), "ready");
  return shell;
}

/** A vsock refuses until somebody in the guest listens; a virtio-serial port connects before that. */
async function dialWhenUp(handle: VmmHandle): Promise<Duplex> {
  for (;;) {
    try {
      return await handle.dialChannel();
    } catch (error) {
      if (!hasReason(error, "nobody-listens")) throw error;
      await delay(50);
    }
  }
}

/** Open file descriptors of this process. */
export async function openFiles(): Promise<number> {
  return (await readdir("/proc/self/fd")).length;
}

/** That no more are open than before; a closed socket gives its descriptor back a turn of the event loop later. */
export async function assertOpenFiles(before: number): Promise<void> {
  for (let turn = 0; turn < 200 && (await openFiles()) > before; turn++) await delay(10);
  assert.ok((await openFiles()) <= before, `${await openFiles()} files are open, ${before} were before`);
}

/** Processes whose command line names the path. */
export async function processesNaming(path: string): Promise<string[]> {
  return [...(await commandsNaming(path)).values()];
}

/** Their pids. */
export async function pidsNaming(path: string): Promise<number[]> {
  return [...(await commandsNaming(path)).keys()];
}

async function commandsNaming(path: string): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>();
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
    if (command.includes(path)) found.set(Number(entry), command.replaceAll("\0", " "));
  }
  return found;
}
