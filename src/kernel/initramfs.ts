// The initramfs of one kernel and one agent: what is in it (plan) and the cached file of it (build). Uncompressed:
// unpacking costs the guest far more than reading it (docs/design). Refuses to know what the agent does with it.

import { createHash } from "node:crypto";
import { open, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { allocatedBytes, TEMP_MARK, tempNameFor } from "../base/files.js";
import { removeFile, renameInto } from "../base/move-aside.js";
import {
  BOOT_MODULES,
  type BootModules,
  PCI_MODULES,
  readBootModules,
  SCSI_MODULES,
} from "./boot-modules.js";
import { type CpioEntry, writeCpio } from "./cpio.js";
import { readElfHeader } from "./elf.js";
import type { InitramfsOptions, StoredKernel } from "./types.js";

/** Raise it when the layout below changes: caches made before are then not used. */
const LAYOUT_VERSION = 2;
const MAX_AGENT = 64 * 1024 * 1024;
/**
 * Files kept per kernel: agents are replaced by upgrades, and a start in another process may still want the last one's.
 * Each agent may have one for machines with disks on SCSI besides, and of both one for those to which cards may come.
 */
const KEEP = 8;
const NAME = /^initramfs-[0-9a-f]{32}\.cpio$/;
const NO_MODULES: BootModules = { always: [], scsi: [], pci: [] };

export interface AgentFile {
  readonly path: string;
  readonly sha256: string;
}

/** An initramfs by what it is made of. */
export interface InitramfsPlan {
  /** Of its file: the same parts, the same name. */
  readonly name: string;
  readonly agent: AgentFile;
  readonly modulesDirectory: string | undefined;
  readonly scsi: boolean;
  readonly pci: boolean;
}

export function planInitramfs(
  { id, modulesDirectory }: StoredKernel,
  agent: AgentFile,
  options: InitramfsOptions,
): InitramfsPlan {
  // A kernel without modules has one for all machines.
  const hasModules = modulesDirectory !== undefined;
  const [scsi, pci] = [hasModules && options.scsi === true, hasModules && options.pci === true];
  const parts = [
    `layout ${LAYOUT_VERSION}`,
    id,
    // Its name changes whenever the modules do.
    basename(modulesDirectory ?? "none"),
    agent.sha256,
    ...BOOT_MODULES,
    ...(scsi ? SCSI_MODULES : []),
    ...(pci ? PCI_MODULES : []),
  ];
  const key = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 32);
  return { name: `initramfs-${key}.cpio`, agent, modulesDirectory, scsi, pci };
}

/**
 * /init (the agent), /modules.list (one file name per line, in load order), /modules.scsi (the same, for machines with
 * disks on SCSI; absent in the initramfs of all others, and where the kernel has no modules for it), /modules.pci (the same, for
 * those to which cards may come while they run),
 * /modules/<name>.ko, /dev/console, and the mount points that the agent needs first.
 */
function entriesOf(agent: Uint8Array, { always, scsi, pci }: BootModules): CpioEntry[] {
  const file = (path: string, data: Uint8Array): CpioEntry => ({ path, type: "file", mode: 0o644, data });
  const list = (path: string, modules: BootModules["always"]) =>
    file(path, Buffer.from(modules.map(({ name }) => `${name}.ko\n`).join(""), "utf8"));
  // One that both lists want is there once.
  const files = new Map([...always, ...scsi, ...pci].map(({ name, data }) => [name, data]));
  return [
    { path: "init", type: "file", mode: 0o755, data: agent },
    list("modules.list", always),
    ...(scsi.length > 0 ? [list("modules.scsi", scsi)] : []),
    ...(pci.length > 0 ? [list("modules.pci", pci)] : []),
    { path: "modules", type: "directory", mode: 0o755 },
    ...[...files].map(([name, data]) => file(`modules/${name}.ko`, data)),
    ...["dev", "proc", "run", "sys"].map((path): CpioEntry => ({ path, type: "directory", mode: 0o755 })),
    // The kernel opens it as init's stdin, stdout and stderr before init can mount anything.
    { path: "dev/console", type: "char", mode: 0o600, major: 5, minor: 1 },
  ];
}

/** Gives an agent's sha256 without reading it again while its file stays the same. */
export class AgentHashes {
  readonly #known = new Map<string, { stamp: string; sha256: string }>();

  /** @throws KilnError not_found `agent-missing`; failed_precondition `agent-invalid` */
  async of(path: string): Promise<string> {
    const stamp = await agentStamp(path);
    const known = this.#known.get(path);
    if (known?.stamp === stamp) return known.sha256;
    const sha256 = createHash("sha256")
      .update(await readAgent(path))
      .digest("hex");
    this.#known.set(path, { stamp, sha256 });
    return sha256;
  }
}

/**
 * The path of the initramfs in `directory`, built where it is not there yet.
 */
export async function buildInitramfs(
  { name, agent, modulesDirectory, scsi, pci }: InitramfsPlan,
  directory: string,
): Promise<string> {
  const path = join(directory, name);
  // An empty one is what a power cut may leave of a file that nobody synced.
  if ((await allocatedBytes(path)) > 0) {
    // Used now: the oldest go first. A file that is another user's (a cache shared by hard links) stays as old as it is.
    await utimes(path, new Date(), new Date()).catch(() => undefined);
    return path;
  }
  const modules = modulesDirectory === undefined ? NO_MODULES : await readBootModules(modulesDirectory);
  const bytes = await readAgent(agent.path);
  if (createHash("sha256").update(bytes).digest("hex") !== agent.sha256) {
    throw new KilnError(Code.Aborted, `the agent ${agent.path} was replaced while its initramfs was built`, {
      reason: "agent-replaced",
      hint: "try again",
    });
  }
  const wanted = { ...modules, ...(scsi ? {} : { scsi: [] }), ...(pci ? {} : { pci: [] }) };
  await writePieces(path, writeCpio(entriesOf(bytes, wanted)));
  await removeOldest(directory);
  return path;
}

/** Mode 0644: a VMM with a uid of its own reads it. */
async function writePieces(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const temp = tempNameFor(path);
  try {
    const file = await open(temp, "wx", 0o644);
    try {
      await file.chmod(0o644); // whatever the umask
      // Not writev: it may write less than all, and say so only in its result.
      await file.writeFile(Buffer.concat(pieces));
      await file.sync();
    } finally {
      await file.close();
    }
    await renameInto(temp, path);
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}

async function removeOldest(directory: string): Promise<void> {
  const files: { path: string; usedMs: number }[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (NAME.test(name)) files.push({ path, usedMs: (await stat(path)).mtimeMs });
    else if (name.startsWith("initramfs-") && !name.includes(TEMP_MARK)) await removeFile(path);
  }
  files.sort((a, b) => b.usedMs - a.usedMs);
  for (const { path } of files.slice(KEEP)) await removeFile(path);
}

async function agentStamp(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs, dev } = await stat(path);
    return [dev, ino, size, mtimeMs, ctimeMs].join(" ");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new KilnError(Code.NotFound, `the guest agent is not there: ${path}`, {
      reason: "agent-missing",
      hint: "build it with `npm run setup`",
      cause: error,
    });
  }
}

async function readAgent(path: string): Promise<Buffer> {
  const file = await readFile(path);
  if (file.length > MAX_AGENT || readElfHeader(file)?.is64 !== true) {
    throw new KilnError(Code.FailedPrecondition, `the guest agent ${path} is no 64-bit ELF program`, {
      reason: "agent-invalid",
      hint: "build it with `npm run setup`",
    });
  }
  return file;
}
