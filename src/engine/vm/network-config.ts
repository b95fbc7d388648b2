// Which named networks a VM is on, as kept in vm.json. An older kilnd keeps the fields and starts the VM without them.

import * as v from "valibot";
import type { NetworkAsk } from "../../base/network-flag.js";
import { openObject } from "../../base/versioned.js";

const Text = v.optional(v.string(), "");
const Strings = v.optional(v.array(v.string()), []);

export const NetworkAttachmentSchema = openObject({
  /** As it was asked for: name or id. */
  name: Text,
  /** "" until the VM is made; then whom the rest was chosen of. */
  networkId: Text,
  /** Chosen when the VM is made, and its own until it leaves the network; "" of a family that the network has not. */
  ip: Text,
  ip6: Text,
  mac: Text,
  /** Names by which others on the network find it, beside its own. */
  aliases: Strings,
});
/** A named network of a VM, and what the VM has there. Their order is that of the VM's cards. */
export type NetworkAttachment = v.InferOutput<typeof NetworkAttachmentSchema>;

/** As it was asked, with nothing found for it yet. */
export function attachmentOf(ask: NetworkAsk): NetworkAttachment {
  return { ...ask, aliases: [...ask.aliases], networkId: "" };
}
