// All kinds of what can be attached to a VM.

import { bridgeCards } from "./bridge-card.js";
import { cniCards } from "./cni-card.js";
import { bootDisks } from "./disks.js";
import { mounts } from "./mounts.js";
import { userCard } from "./nic.js";
import { publishedPorts } from "./ports.js";
import { AttachmentSet, type Refused } from "./set.js";
import type { AttachedVm, AttachmentKind, AttachNeeds } from "./types.js";

/** In this order they are acquired, a moment's after another's; in the other they are released. */
const KINDS: readonly AttachmentKind[] = [bootDisks, mounts, userCard, bridgeCards, cniCards, publishedPorts];

/** What is attached to a VM, none of it acquired yet. @param tell of a release that failed: the others go on */
export function attachmentsOf(
  vm: AttachedVm,
  needs: AttachNeeds,
  tell: Refused,
  kinds: readonly AttachmentKind[] = KINDS,
): AttachmentSet {
  return new AttachmentSet(
    kinds.flatMap((kind) => kind(vm, needs)),
    tell,
  );
}
