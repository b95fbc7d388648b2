// What a VM's network cards ask of its driver, and which of them no machine can have.

import { Code, KilnError } from "../base/errors.js";
import type { VmmCapabilities, VmmSpec } from "./types.js";

/** What keeps a card connected, and Firecracker's tap, have one name in a VM. */
const MAX_CARDS = 1;

type Cards = Pick<VmmSpec, "cards">;

/** Whether one of them is on the user network, which the driver brings. */
export function wantsUserNetwork({ cards }: Cards): boolean {
  return cards.some(({ backend }) => backend.kind === "user");
}

/** @throws KilnError invalid_argument `too-many-cards`, `bad-card-id`, `bad-mac`; failed_precondition `no-user-network` */
export function checkCards(spec: Cards, capabilities: VmmCapabilities): void {
  const { cards } = spec;
  if (cards.length > MAX_CARDS)
    throw refused("too-many-cards", `${cards.length} network cards: every VMM takes ${MAX_CARDS}`);
  for (const { id, mac } of cards) {
    if (!/^[a-z][a-z0-9]{0,19}$/.test(id)) throw refused("bad-card-id", `network card ${JSON.stringify(id)}`);
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac))
      throw refused("bad-mac", `a network card with the MAC address ${JSON.stringify(mac)}`);
  }
  if (!wantsUserNetwork(spec) || capabilities.userNetwork) return;
  throw new KilnError(Code.FailedPrecondition, "this VMM has no rootless network card on this host", {
    reason: "no-user-network",
    hint: "`kiln doctor` tells what is missing; published ports work without a card (--network none)",
  });
}

function refused(reason: string, what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the VM cannot have ${what}`, { reason });
}
