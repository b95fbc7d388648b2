// What a VM's network cards ask of its driver, and which of them no machine can have.

import { Code, KilnError } from "../base/errors.js";
import type { CardKind, TapBackend, VmmCapabilities, VmmCards, VmmSpec } from "./types.js";

/** What keeps a card connected, its socket, and its tap, have one name in a VM. */
const MAX_CARDS = 1;

/** Of a VMM to whose cards nobody connects. */
export const NO_CARDS: VmmCards = {
  cardSocket: undefined,
  cardTap: undefined,
  onCardLost: () => () => undefined,
  join: async () => undefined,
};

type Cards = Pick<VmmSpec, "cards">;

/** Whether there is something on this host to connect cards of that kind, and why not. */
export type UserNetworkLook = (kind: CardKind) => Promise<{ readonly usable: boolean; readonly why: string }>;

export const NO_NETWORK: UserNetworkLook = async () => ({ usable: false, why: "no user network" });

/** The tap of a VM that has one. */
export function tapOf({ cards }: Cards): TapBackend | undefined {
  return cards.map(({ backend }) => backend).find((backend) => backend.kind === "tap");
}

/** Whether there is a card of that kind. */
export function hasCard({ cards }: Cards, kind: CardKind): boolean {
  return cards.some(({ backend }) => backend.kind === kind);
}

/**
 * @throws KilnError invalid_argument `too-many-cards`, `bad-card-id`, `bad-mac`, `no-such-card`; failed_precondition
 * `no-user-network`
 */
export function checkCards(spec: Cards, capabilities: VmmCapabilities): void {
  const { cards } = spec;
  if (cards.length > MAX_CARDS)
    throw refused("too-many-cards", `${cards.length} network cards: every VMM takes ${MAX_CARDS}`);
  const { cards: kind = "tap", userNetwork } = capabilities;
  for (const { id, mac, backend } of cards) {
    if (!/^[a-z][a-z0-9]{0,19}$/.test(id)) throw refused("bad-card-id", `network card ${JSON.stringify(id)}`);
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac))
      throw refused("bad-mac", `a network card with the MAC address ${JSON.stringify(mac)}`);
    if (backend.kind !== kind)
      throw refused("no-such-card", `a network card of the kind ${backend.kind}: this VMM has ${kind}`);
  }
  if (!hasCard(spec, "tap") || userNetwork) return;
  throw new KilnError(Code.FailedPrecondition, "this VMM has no rootless network card on this host", {
    reason: "no-user-network",
    hint: "`kiln doctor` tells what is missing; published ports work without a card (--network none)",
  });
}

function refused(reason: string, what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the VM cannot have ${what}`, { reason });
}
