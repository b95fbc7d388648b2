// Whether a guest's agent can find the disks that its VM has.

import type { AgentSession } from "../../agent/types.js";
import { Code, KilnError } from "../../base/errors.js";
import type { DiskSet } from "../disks/disk-set.js";

/**
 * Refuses what only a serial tells apart to an agent that knows none: it would take one disk for another. Where every disk
 * has a device that any agent knows, nothing is asked.
 *
 * @throws KilnError failed_precondition `agent-too-old`; as `features.has`
 */
export async function requireFindable(
  { features }: { readonly features: Pick<AgentSession["features"], "has"> },
  { specs, deviceHint }: DiskSet,
  limits: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<void> {
  const nameless = specs.filter(({ id }) => deviceHint(id) === "");
  if (nameless.length === 0 || (await features.has("disk-serial", limits))) return;
  const ids = nameless.slice(0, 3).map(({ id }) => id);
  throw new KilnError(
    Code.FailedPrecondition,
    `the guest's agent finds no disk by its serial, and the VM has ${nameless.length} that have nothing else: ${ids.join(", ")}`,
    {
      reason: "agent-too-old",
      hint: "it is older than kilnd: see kilnd's setting `agent`",
    },
  );
}
