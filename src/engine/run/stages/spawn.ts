// The VMM: its directories, its process, and the note by which a later kilnd finds it again.

import { rm } from "node:fs/promises";
import { failpoint } from "../../../base/failpoint.js";
import { makeDirectory } from "../../../base/files.js";
import type { CniKey } from "../../../net/types.js";
import type { VmmSpec } from "../../../vmm/types.js";
import { markRunDirectory } from "../../host/run-directories.js";
import { withProof } from "../../host/vmm-processes.js";
import { cniCardsOf } from "../../networks/cni-uses.js";
import type { VmEntry } from "../../vm/entry.js";
import type { VmStatus } from "../../vm/status.js";
import type { Attempt, Prepared, Step } from "../boot.js";
import type { EngineContext } from "../context.js";
import { createLive } from "../create-live.js";

export async function spawn(boot: Attempt, prepared: Prepared): Promise<Step> {
  const { ctx, run, undo } = boot;
  const { driver, spec, assets, attached, planned } = prepared;
  await makeDirectories(ctx, spec);
  failpoint("run.directories");
  undo.push("remove the run directory", () => rm(spec.runDirectory, { recursive: true, force: true }));
  const handle = await driver.launch(spec, {
    signal: run.signal,
    beside: (vmm) => attached.acquire("launch", { spec, vmm }, undo),
  });
  undo.push("end the VMM", () => handle.kill());
  boot.timings.spawnedMs = boot.clock();
  failpoint("run.launched");
  const { capabilities } = handle.record;
  const guest = attached.guest({ capabilities, disks: planned.disks, serials: handle.disks });
  await run.entry.note({
    vmm: await withProof(handle.record),
    vmmKind: driver.kind,
    accelerator: capabilities.accelerator,
    consoleLog: handle.consoleLog,
    kernelRelease: assets.kernel.release,
    ipAddress: guest.interfaces?.[0]?.addresses[0]?.replace(/\/.*/, "") ?? "",
    ...givenNow(ctx, run.entry),
  });
  failpoint("run.noted");
  const live = createLive(ctx, run, handle, attached);
  undo.push("let go of the VM", () => live.hangUp());
  return { at: "hello", machine: { live, planned } };
}

function givenNow({ cniUses }: EngineContext, { record }: VmEntry): Pick<VmStatus, "given"> {
  const cards = cniCardsOf(record);
  if (cards.length === 0) return {};
  const addresses = (card: CniKey) =>
    cniUses.joinedOf(card)?.addresses.map((address) => address.replace(/\/.*/, "")) ?? [];
  return { given: Object.fromEntries(cards.map((card) => [`cni:${card.network}`, addresses(card)])) };
}

/** kilnd's own: VMMs have descriptors. */
async function makeDirectories(ctx: EngineContext, spec: VmmSpec): Promise<void> {
  await rm(spec.runDirectory, { recursive: true, force: true });
  for (const directory of [spec.runDirectory, spec.stateDirectory]) {
    await makeDirectory(directory);
    if (directory === spec.runDirectory) await markRunDirectory(ctx, directory);
    await ctx.ownership.give(directory, process.getuid?.());
    await ctx.ownership.shut(directory);
  }
}
