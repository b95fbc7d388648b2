// KVM's test boot, confined as every VM is: the kernel that it boots may be one that an image has brought. Where no jail can
// be made nothing is booted, unless VMMs may run without one.

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "../base/ids.js";
import { PROBE_USER } from "../base/privileges.js";
import { signalProcess } from "../base/processes.js";
import { UndoStack } from "../base/undo.js";
import type { Confiner } from "./jail/confiner.js";
import { accessTo } from "./jail/own-device.js";
import type { JailFile, JailTree } from "./jail/plan.js";
import { readProcessRecord } from "./process-record.js";
import { type BootFailure, testBoot } from "./test-boot.js";
import type { VmmKind, VmmSpec } from "./types.js";
import type { VmmProcess } from "./vmm-process.js";

export interface JailedBoot {
  readonly confiner: Confiner;
  readonly driver: VmmKind;
  /** The VMM's real path. */
  readonly program: string;
  readonly tree: () => Promise<JailTree>;
  /** Existing, of the daemon. */
  readonly cacheDirectory: string;
  /** KVM's. */
  readonly device: string;
  /** Beside it and /dev/null. */
  readonly otherDevices: readonly string[];
  /** @param directory a private one, which goes with the boot */
  readonly plan: (directory: string, places: Places) => Promise<BootPlan>;
}

export interface BootPlan {
  readonly files: readonly JailFile[];
  readonly command: (at: (file: JailFile) => string) => readonly string[];
}

/** Where the VMM finds files of a plan. */
export type Places = (files: readonly JailFile[]) => Promise<(file: JailFile) => string>;

const MIB = 1024 * 1024;
export const BOOT_MEMORY_MIB = 128;
/** More than any VMM takes: what a limit leaves free costs nothing. */
const OVERHEAD_BYTES = 512 * MIB;

/**
 * @returns undefined where the guest ran, else why not
 * @throws KilnError where nothing was started: `no-jail`, `vmm-not-started`
 */
export async function bootInJail(request: JailedBoot, deadlineMs?: number): Promise<BootFailure | undefined> {
  const { cacheDirectory, driver } = request;
  const prefix = `probe-${driver}-`;
  await endLeftOvers(cacheDirectory, prefix);
  await using undo = new UndoStack();
  const directory = await mkdtemp(join(cacheDirectory, prefix));
  undo.push(`remove ${directory}`, () => rm(directory, { recursive: true, force: true }));
  const vmm = await launch(request, directory);
  undo.push("end the test boot", () => vmm.kill());
  return await testBoot(vmm, deadlineMs);
}

async function launch(request: JailedBoot, directory: string): Promise<VmmProcess> {
  const { confiner, driver, program, tree, device, otherDevices } = request;
  const { files, command } = await request.plan(directory, (planned) => confiner.places(planned));
  const spec = specOf(directory);
  const { process: vmm, limited } = await confiner.launch({
    ...{ spec, driver, program, tree, files, command },
    listeners: [],
    devices: ["/dev/null", ...otherDevices, device],
    access: await accessTo(device, spec.runAs),
    overheadBytes: OVERHEAD_BYTES,
    stdout: "pipe",
  });
  try {
    await limited;
    return vmm;
  } catch (error) {
    await vmm.kill();
    throw error;
  }
}

/** What confines it; its files are named by the plan. */
function specOf(directory: string): VmmSpec {
  return {
    ...{ vmId: newId(), runDirectory: directory, stateDirectory: directory, kernel: "", initrd: "" },
    ...{ kernelArgs: [], vcpus: 1, memoryBytes: BOOT_MEMORY_MIB * MIB, disks: [], cards: [], ports: [] },
    ...(process.getuid?.() === 0 ? { runAs: PROBE_USER } : {}),
  };
}

/** Of a kilnd that was killed meanwhile; only one at a time has the directory. */
async function endLeftOvers(cacheDirectory: string, prefix: string): Promise<void> {
  for (const name of await readdir(cacheDirectory)) {
    if (!name.startsWith(prefix)) continue;
    const directory = join(cacheDirectory, name);
    const record = await readProcessRecord(directory);
    for (const one of [record?.vmm, record?.spawned]) {
      if (one !== undefined) await signalProcess(one, "SIGKILL");
    }
    await rm(directory, { recursive: true, force: true });
  }
}
