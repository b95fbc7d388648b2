// Mounts of a guest that runs already; those of its boot are in BootOrder. What it says of them is its own word, and bounded.

import type { Client } from "@connectrpc/connect";
import type { MountService, MountState } from "../gen/kiln/agent/v1/mount_pb.js";
import type { Features } from "./features.js";
import { type GuestMount, guestMount } from "./guest-mount.js";
import { boundedCount } from "./guest-numbers.js";
import { cleanLine } from "./guest-text.js";
import type { CallLimits } from "./limits.js";

export interface MountSummary {
  readonly id: string;
  readonly target: string;
  /** A share whose server does not answer at present. */
  readonly away: boolean;
}

interface GrowOptions extends CallLimits {
  readonly diskBytes?: number;
}

/** @throws KilnError failed_precondition `agent-too-old`, before the agent without the feature `mounts` is asked */
export interface GuestMounts {
  /**
   * Resolves once it is there.
   *
   * @throws KilnError already_exists `guest-already-exists`: of that id, or on that target, is one
   */
  attachMount(mount: GuestMount, limits?: CallLimits): Promise<{ readonly filled: boolean }>;
  /**
   * @throws KilnError failed_precondition `guest-failed-precondition` naming a program that uses it, and nothing is changed;
   * not_found `guest-not-found`
   */
  detachMount(id: string, limits?: CallLimits): Promise<void>;
  /**
   * Grows its file system to what its disk has become; gives the bytes of the file system.
   *
   * @param options diskBytes: waited for, as the guest sees it a moment after its VMM; absent: as it is now
   */
  growMount(id: string, options?: GrowOptions): Promise<{ readonly sizeBytes: bigint }>;
  /** In the order in which they were made. */
  listMounts(limits?: CallLimits): Promise<readonly MountSummary[]>;
}

/** More than a kernel of ours has disks and ports for is not believed. */
const MOST_MOUNTS = 256;
const MOST_PATH = 4096;
const MOUNT_ID = /^[a-z0-9-]{1,40}$/;

export function mountsOver(client: Client<typeof MountService>, features: Features): GuestMounts {
  const need = (what: string, limits: CallLimits | undefined) => features.need("mounts", what, limits);
  return {
    attachMount: async (mount, limits) => {
      await need(`mount ${mount.target}`, limits);
      const { filled } = await client.attachMount({ mount: guestMount(mount) }, limits);
      return { filled: filled && mount.source.kind === "disk" && mount.source.fill === true };
    },
    detachMount: async (id, limits) => {
      await need(`unmount ${id}`, limits);
      await client.detachMount({ id }, limits);
    },
    growMount: async (id, { diskBytes = 0, ...limits } = {}) => {
      await need(`grow ${id}`, limits);
      const asked = { id, diskBytes: BigInt(diskBytes) };
      return { sizeBytes: boundedCount((await client.growMount(asked, limits)).sizeBytes) };
    },
    listMounts: async (limits) => {
      await need("list mounts", limits);
      return summariesOf((await client.listMounts({}, limits)).mounts);
    },
  };
}

/** An id that no host gives, or twice, is nobody's. */
function summariesOf(mounts: readonly MountState[]): MountSummary[] {
  const known = new Map<string, MountSummary>();
  for (const { id, target, away } of mounts.slice(0, MOST_MOUNTS)) {
    if (!MOUNT_ID.test(id) || known.has(id)) continue;
    known.set(id, { id, target: cleanLine(target.slice(0, MOST_PATH)), away });
  }
  return [...known.values()];
}
