// Which modules a guest needs before it has a root disk, and in which order: everything below is loaded by the agent
// from the initramfs; all other modules reach the guest on the modules disk. Refuses to know how an initramfs looks.

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, hasReason, KilnError } from "../base/errors.js";
import { readPlainFile } from "../base/plain-file.js";
import type { Abortable } from "../base/progress.js";
import { type ModuleInfo, moduleName, readModuleInfo } from "./modinfo.js";
import { detectCompression, unpack } from "./payload.js";

/**
 * Wanted at boot, most urgent first: the order in which the agent gets them, dependencies before each. What a kernel
 * has built in, or does not have at all, is left out: the agent says what is missing when it needs it.
 */
export const BOOT_MODULES: readonly string[] = [
  "virtio_mmio",
  "virtio_console", // QEMU's channel
  "vmw_vsock_virtio_transport", // Firecracker's channel
  "virtio_blk",
  "dm_mod",
  "dm_snapshot",
  "ext4",
  "virtio_net",
  "virtio_rng",
  "virtio_balloon",
  "pvpanic_mmio", // lets QEMU tell a panic from a reboot
];

/** Wanted besides where a machine has disks on SCSI: all others load none of it. */
export const SCSI_MODULES: readonly string[] = ["virtio_scsi", "sd_mod"];

/** Wanted besides where cards may come while the machine runs. */
export const PCI_MODULES: readonly string[] = ["virtio_pci"];

/** What an initramfs carries, in lists that the agent loads one after the other. */
export interface BootModules {
  readonly always: readonly BootModule[];
  /** Both without those of `always`. */
  readonly scsi: readonly BootModule[];
  readonly pci: readonly BootModule[];
}

export interface BootModule {
  /** Kernel's spelling: "virtio_blk". */
  readonly name: string;
  /** Uncompressed. */
  readonly data: Buffer;
  /** The kernel release it was built for; "" where it does not say. */
  readonly release: string;
}

/** Gives a module's uncompressed bytes; undefined where the kernel has no such module (or has it built in). */
export type ReadModule = (name: string) => Promise<Buffer | undefined>;

const MAX_MODULE = 32 * 1024 * 1024;
const MAX_MODULES = 64;
const MAX_LIST = 16 * 1024 * 1024;
/** Deeper than any directory below kernel/. */
const MAX_DEPTH = 16;
const MODULE_FILE = /^(.+)\.ko(\.(?:gz|xz|zst))?$/;

/**
 * The wanted modules and all that they need, each after its dependencies.
 *
 * @throws KilnError failed_precondition `broken-module` for a dependency cycle, a missing hard dependency that is not
 *   built in, or a file that is no module
 */
export async function orderModules(
  wanted: readonly string[],
  read: ReadModule,
  builtin: ReadonlySet<string>,
): Promise<BootModule[]> {
  const ordered: BootModule[] = [];
  const state = new Map<string, "open" | "done">();

  const visit = async (name: string, neededBy: string | undefined): Promise<void> => {
    if (builtin.has(name) || state.get(name) === "done") return;
    if (state.get(name) === "open") throw brokenModule(name, "it depends on itself");
    state.set(name, "open");
    const data = await read(name);
    if (data === undefined) {
      if (neededBy !== undefined) throw brokenModule(neededBy, `the module ${name} that it needs is missing`);
    } else {
      const info = parseModule(name, data);
      for (const soft of info.softPre) if (!state.has(soft)) await visit(soft, undefined);
      for (const needed of info.depends) await visit(needed, name);
      if (ordered.length >= MAX_MODULES)
        throw brokenModule(name, `it needs more than ${MAX_MODULES} modules`);
      ordered.push({ name, data, release: info.release });
    }
    state.set(name, "done");
  };

  for (const name of wanted) await visit(moduleName(name), undefined);
  return ordered;
}

/** The names in modules.builtin ("kernel/fs/ext4/ext4.ko" per line). */
export function parseBuiltin(text: string): Set<string> {
  const names = new Set<string>();
  for (const line of text.split("\n")) {
    const name = MODULE_FILE.exec(line.trim().split("/").pop() ?? "")?.[1];
    if (name !== undefined) names.add(moduleName(name));
  }
  return names;
}

/**
 * The boot modules of a kernel, from its modules directory (what is below /lib/modules/<release>).
 *
 * @throws KilnError as orderModules
 */
export async function readBootModules(directory: string, options: Abortable = {}): Promise<BootModules> {
  const files = await findModuleFiles(directory);
  const builtin = parseBuiltin(await readFileOrEmpty(join(directory, "modules.builtin")));
  const read: ReadModule = async (name) => {
    options.signal?.throwIfAborted();
    const path = files.get(name);
    return path === undefined ? undefined : readModuleFile(name, path, options);
  };
  const always = await orderModules(BOOT_MODULES, read, builtin);
  const there = new Set([...builtin, ...always.map(({ name }) => name)]);
  // A kernel is not refused for what hardly any machine needs: one with a disk on SCSI says that it does not find it.
  const besides = (wanted: readonly string[]) =>
    orderModules(wanted, read, there).catch((error) => {
      if (hasReason(error, "broken-module")) return [];
      throw error;
    });
  return { always, scsi: await besides(SCSI_MODULES), pci: await besides(PCI_MODULES) };
}

/** Module name to path of every .ko below; symlinks (`build`, `source`) are not followed. */
export async function findModuleFiles(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const walk = async (path: string, depth: number): Promise<void> => {
    const entries = await readdir(path, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = MODULE_FILE.exec(entry.name)?.[1];
      if (entry.isDirectory() && depth < MAX_DEPTH) await walk(join(path, entry.name), depth + 1);
      else if (entry.isFile() && name !== undefined) found.set(moduleName(name), join(path, entry.name));
    }
  };
  await walk(directory, 0);
  return found;
}

async function readModuleFile(name: string, path: string, options: Abortable): Promise<Buffer> {
  if ((await stat(path)).size > MAX_MODULE) {
    throw brokenModule(name, `its file is larger than ${MAX_MODULE} bytes`);
  }
  const file = await readPlainFile(path, MAX_MODULE);
  const compression = detectCompression(file);
  if (compression === undefined) return file;
  try {
    return await unpack(file, compression, MAX_MODULE, options);
  } catch (error) {
    if (!hasReason(error, "invalid-kernel")) throw error;
    throw brokenModule(name, `its ${compression} data are damaged`, error);
  }
}

function parseModule(name: string, data: Buffer): ModuleInfo {
  const info = readModuleInfo(data);
  if (info === undefined) throw brokenModule(name, "its file is no 64-bit kernel module");
  return info;
}

async function readFileOrEmpty(path: string): Promise<string> {
  try {
    return (await readPlainFile(path, MAX_LIST)).toString("utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}

function brokenModule(name: string, why: string, cause?: unknown): KilnError {
  return new KilnError(Code.FailedPrecondition, `cannot use the kernel module ${name}: ${why}`, {
    reason: "broken-module",
    hint: "import the kernel again with the modules that were built with it",
    cause,
  });
}
