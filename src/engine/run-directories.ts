// The directories of VMs' sockets below the run root: which is whose, and which of them go when kilnd starts.

import { readdir, rm, stat } from "node:fs/promises";
import { basename, isAbsolute, join } from "node:path";
import { makeDirectory } from "../base/files.js";
import { vmRunDirectory } from "../base/paths.js";
import type { EngineContext } from "./context.js";
import type { VmEntry } from "./vm-entry.js";
import { type FoundVmm, killVmms } from "./vmm-processes.js";

/**
 * Where the sockets of a VM that runs are. Its name always follows from the VM's id; the place on record counts where
 * it bears that name and is there, because the run root may have been moved, or be reached by another path, since.
 */
export async function runDirectoryOf(
  { runRoot }: Pick<EngineContext, "runRoot">,
  { id, status }: Pick<VmEntry, "id" | "status">,
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
  ctx: EngineContext,
  living: readonly VmEntry[],
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
  await ctx.ownership.openPassage(root);
  for (const name of await readdir(root)) {
    if (!names.has(name)) await rm(join(root, name), { recursive: true, force: true });
  }
}

/** Whatever directory it seems to be of: it is the VMM of a VM that lives. */
function isOnRecord({ process: { pid, startTime } }: FoundVmm, living: readonly VmEntry[]): boolean {
  return living.some(
    ({ status: { vmm } }) => vmm?.process.pid === pid && vmm.process.startTime === startTime,
  );
}
