// How a mount is known to the VMM and the guest: by what holds as long as the mount does, whatever is attached before it.

import { createHash } from "node:crypto";
import { Code, KilnError } from "../../base/errors.js";

/** Id of the mount at a target, and of its disk: a VM has one at each. Pure. */
export function mountId(target: string): string {
  return `m${createHash("sha256").update(target).digest("hex").slice(0, 12)}`;
}

/** @throws KilnError failed_precondition `no-disk-serial`: a guest would take one disk for another */
export function diskSource(serials: ReadonlyMap<string, string>, id: string, target: string) {
  const serial = serials.get(id);
  if (serial !== undefined) return { kind: "disk" as const, serial };
  throw new KilnError(
    Code.FailedPrecondition,
    `mount ${target}: its VMM can't tell its disk from another one`,
    {
      reason: "no-disk-serial",
      hint: "is the same image mounted twice? Mount it once, or use --vmm qemu",
    },
  );
}
