// Which named networks a VM is on, as kept in vm.json. An older kilnd keeps the fields and starts the VM without them.

import * as v from "valibot";
import type { NetworkAsk } from "../../base/network-flag.js";
import { MAX_CARDS } from "../../base/networks.js";
import { openObject } from "../../base/versioned.js";
import type { NetworkCard } from "../../net/types.js";

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
  /** Of its card, where that is not its place in the list: one before it was taken off while the VM ran. */
  index: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_CARDS - 1))),
});
/** A named network of a VM, and what the VM has there. Their order is that of the VM's cards. */
export type NetworkAttachment = v.InferOutput<typeof NetworkAttachmentSchema>;

/** As it was asked, with nothing found for it yet. */
export function attachmentOf(ask: NetworkAsk): NetworkAttachment {
  return { ...ask, aliases: [...ask.aliases], networkId: "" };
}

/** A VM's card, and whose network it is on. */
export interface CardPlace {
  readonly networkId: string;
  readonly card: NetworkCard;
}

/** Of its card, by which links and rules on the host and devices of the VMM are named: it stays while the VM runs. */
export function cardIndex({ index }: NetworkAttachment, place: number): number {
  return index ?? place;
}

/** With one more, whose card comes after all others while there is room there: the guest's way out stays as it is. */
export function withCard(
  networks: readonly NetworkAttachment[],
  added: NetworkAttachment,
): NetworkAttachment[] {
  const taken = networks.map(cardIndex);
  const after = Math.max(-1, ...taken) + 1;
  const free = Array.from({ length: MAX_CARDS }, (_, index) => index).find((index) => !taken.includes(index));
  const index = after < MAX_CARDS ? after : (free ?? after);
  return inOrder([...networks.map((one, place) => [cardIndex(one, place), one] as const), [index, added]]);
}

/** Without one; the cards of the others are those that they were. */
export function withoutCard(
  networks: readonly NetworkAttachment[],
  gone: NetworkAttachment,
): NetworkAttachment[] {
  const all = networks.map((one, place) => [cardIndex(one, place), one] as const);
  return inOrder(all.filter(([, one]) => one !== gone));
}

/** Of a VM that does not run: each card is at its place again. */
export function renumbered(networks: readonly NetworkAttachment[]): NetworkAttachment[] {
  return inOrder(networks.map((one, place) => [place, one]));
}

function inOrder(cards: readonly (readonly [index: number, one: NetworkAttachment])[]): NetworkAttachment[] {
  return [...cards]
    .sort(([one], [other]) => one - other)
    .map(([index, { index: _, ...one }], place) => (index === place ? one : { ...one, index }));
}
