// Where a run goes on that another kilnd has left: from what is on disk, and for a boot from what the guest says. Pure.

import type { GuestPhase } from "../../agent/index.js";
import type { BootStage } from "../vm/run-view.js";
import { isLive } from "../vm/state.js";
import type { VmStatus } from "../vm/status.js";

/** "gone": nothing of it runs that anybody knows; "hold": the guest is on its way to the hold that its files wait for. */
export type Found = "gone" | "hold" | "live" | Exclude<BootStage, "prepare" | "spawn">;

/**
 * @param phase the guest's; undefined while its agent was not asked
 * @param pending files wait for the VM
 */
export function stageFor(
  { state, vmm }: Pick<VmStatus, "state" | "vmm">,
  phase: GuestPhase | undefined,
  pending: boolean,
): Found {
  if (!isLive(state) || vmm === undefined) return "gone";
  if (state !== "starting") return "live";
  switch (phase) {
    case undefined:
      return "hello";
    case "waiting":
      return "setup";
    case "booting":
      // Without files it starts its program by itself. With them nobody else would go on from the hold.
      return pending ? "hold" : "live";
    case "held":
      return pending ? "files" : "workload";
    // Also of an agent that is newer than we are: it has been told to boot.
    default:
      return "live";
  }
}
