// Volumes whose disks have grown while their VM could not be told: it did not run, or was paused.

import type { AgentSession } from "../../agent/types.js";
import { KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { VmmHandle } from "../../vmm/types.js";
import type { Attachment } from "../attach/types.js";

const GROW_MS = 120_000;

export interface GrowParts {
  readonly held: readonly Attachment[];
  /** Asked for where there is something to grow. */
  readonly session: () => Promise<Pick<AgentSession, "mounts">>;
  /** A VMM that was started before its disks have grown. */
  readonly untold?: Pick<VmmHandle, "growDisk"> | undefined;
  readonly log: Logger;
  readonly signal?: AbortSignal | undefined;
}

/** One that can't grow now is as large as it was, until the next time. Never fails. */
export async function growMounts({ held, session, untold, log, signal }: GrowParts): Promise<void> {
  for (const attachment of held) {
    const { mount } = attachment;
    const diskBytes = mount?.growsTo?.();
    if (mount === undefined || diskBytes === undefined) continue;
    const grow = async () => {
      const { mounts } = await session();
      const { disks = [] } = attachment.plan({ capabilities: undefined, modules: undefined });
      for (const disk of disks) await untold?.growDisk(disk);
      const { sizeBytes } = await mounts.growMount(mount.id, {
        diskBytes,
        timeoutMs: GROW_MS,
        ...(signal === undefined ? {} : { signal }),
      });
      await mount.grown?.(Number(sizeBytes));
    };
    await grow().catch((error: unknown) => {
      const why = KilnError.from(error).message;
      log.warn("a volume has not grown to the size of its disk", { target: mount.target, why });
    });
  }
}
