// Names of a VM's mounts that hold as long as the mount does, whatever is attached before it.

import { createHash } from "node:crypto";

/** Id of the mount at a target, for the VMM and the guest: a VM has one at each. Pure. */
export function mountId(target: string): string {
  return `m${createHash("sha256").update(target).digest("hex").slice(0, 12)}`;
}
