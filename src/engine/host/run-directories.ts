// The directories of VMs' sockets below the run root: which is whose, and which of them go when kilnd starts.

import { constants } from "node:fs";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { basename, isAbsolute, join } from "node:path";
import { errnoOf, KilnError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import type { Logger } from "../../base/log.js";
import { vmRunDirectory } from "../../base/paths.js";
import { Pinned } from "../../base/pinned.js";
import type { ProcessId } from "../../base/processes.js";
import type { OwnerMark } from "./owner-mark.js";
import type { Ownership } from "./ownership.js";
import { type FoundVmm, isInUse, killVmms } from "./vmm-processes.js";

export interface RunRoot {
  readonly runRoot: string;
  readonly mark: OwnerMark;
  readonly ownership: Ownership;
  readonly log: Logger;
}

/** What is on record of a VM's VMM. */
export interface VmOnRecord {
  readonly id: string;
  readonly status: {
    readonly launch?: { readonly runDirectory: string };
    readonly vmm?: { readonly process: ProcessId };
  };
}

/**
 * Where the sockets of a VM that runs are. Its name always follows from the VM's id; the place on record counts where
 * it bears that name and is there, because the run root may have been moved, or be reached by another path, since.
 */
export async function runDirectoryOf(
  { runRoot }: Pick<RunRoot, "runRoot">,
  { id, status }: VmOnRecord,
): Promise<string> {
  const derived = vmRunDirectory(runRoot, id);
  const recorded = status.launch?.runDirectory ?? "";
  if (!isAbsolute(recorded) || basename(recorded) !== basename(derived)) return derived;
  const found = await stat(recorded).catch(() => undefined);
  return found?.isDirectory() === true ? recorded : derived;
}

/**
 * Ends VMMs and removes run directories that belong to no living VM. A VMM whose record was not written any more is
 * one: it was spawned for a boot, or a second try of one, that its kilnd did not live to see.
 */
export async function removeOrphans(
  ctx: RunRoot,
  living: readonly VmOnRecord[],
  found: readonly FoundVmm[],
): Promise<void> {
  // By name, which is made from the id: paths have aliases, and what a status says of one may be damaged.
  const names = new Set(living.map(({ id }) => basename(vmRunDirectory(ctx.runRoot, id))));
  const orphans = found.filter((vmm) => !names.has(basename(vmm.runDirectory)) && !isOnRecord(vmm, living));
  for (const { process, runDirectory } of orphans) {
    ctx.log.warn("ending a VMM that no VM knows", { pid: process.pid, runDirectory });
  }
  await killVmms(orphans);
  const root = await makeDirectory(join(ctx.runRoot, "v"));
  await ctx.ownership.shut(root);
  for (const name of await readdir(root)) {
    const directory = join(root, name);
    // Of a release that marked none: the next start of whatever kilnd then knows whose it is.
    if (names.has(name)) await markRunDirectory(ctx, directory).catch(() => undefined);
    else if (await mayGo(ctx, directory)) await rm(directory, { recursive: true, force: true });
  }
}

const MARK_FILE = "owner";
const MOST_MARK = 128;

/** Says whose the directory is. One that is marked keeps its mark. */
export async function markRunDirectory({ mark }: Pick<RunRoot, "mark">, directory: string): Promise<void> {
  try {
    await writeFile(join(directory, MARK_FILE), mark.token(directory), { flag: "wx", mode: 0o600 });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw KilnError.from(error, `mark ${directory}`);
  }
}

/** "unmarked": of an earlier release. Another kilnd's are not ours to judge, whether they are in use or not. */
export async function markOf(
  { mark }: Pick<RunRoot, "mark">,
  directory: string,
): Promise<"ours" | "another's" | "unmarked"> {
  const token = await readMark(join(directory, MARK_FILE)).catch(() => "");
  if (token === "") return "unmarked";
  return mark.nameIn(token) === basename(directory) ? "ours" : "another's";
}

async function readMark(path: string): Promise<string> {
  await using pinned = await Pinned.open(path, { kind: "file" });
  await using file = await pinned.reopen(constants.O_RDONLY | constants.O_NONBLOCK);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_MARK), 0, MOST_MARK, 0);
  return buffer.toString("latin1", 0, bytesRead);
}

async function mayGo(ctx: RunRoot, directory: string): Promise<boolean> {
  const owner = await markOf(ctx, directory);
  const keeps = owner === "another's" || (owner === "unmarked" && (await isInUse(directory)));
  if (keeps) ctx.log.info("a run directory is another kilnd's; it stays", { directory });
  return !keeps;
}

/** Whatever directory it seems to be of: it is the VMM of a VM that lives. */
function isOnRecord({ process: { pid, startTime } }: FoundVmm, living: readonly VmOnRecord[]): boolean {
  return living.some(
    ({ status: { vmm } }) => vmm?.process.pid === pid && vmm.process.startTime === startTime,
  );
}
