// Which process is whose, when kilnd starts: what a VM's status says against what lives. A VMM that runs is never ended
// for what a file says; the one exception is a start that is on record as not finished, which nobody was told of.

import { isLive } from "./state.js";
import type { VmStatus } from "./status.js";

export interface Evidence {
  readonly status: Pick<VmStatus, "state">;
  /** The status is what was written last, every word understood. */
  readonly sure: boolean;
  /** The VMM on record lives. */
  readonly recordedLives: boolean;
  /** Another VMM of this VM does. */
  readonly found: boolean;
}

/** "gone": the status says that something runs, and nothing does; "unknown-vmm": one runs that it does not know. */
export type Finding = "as-written" | "gone" | "unknown-vmm";

/** Pure. */
export function judgeFound({ status, sure, recordedLives, found }: Evidence): Finding {
  if (isLive(status.state) && recordedLives) return "as-written";
  if (found && !(sure && status.state === "starting")) return "unknown-vmm";
  return isLive(status.state) ? "gone" : "as-written";
}
