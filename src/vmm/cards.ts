// What a VM's network cards ask of its driver, and which of them no machine can have.

import { Code, KilnError } from "../base/errors.js";
import { MAX_CARDS } from "../base/networks.js";
import type {
  CardBackend,
  CardKind,
  CardSpec,
  TapBackend,
  VmmCapabilities,
  VmmCards,
  VmmSpec,
} from "./types.js";

/** What keeps a card of the user network connected, its socket, and its tap, have one name in a VM. */
const MAX_USER_CARDS = 1;
/**
 * The first descriptor of taps: beyond all that a launch hands over in a row, so that it is known before that is counted, and
 * below the 1024 files that every process may have.
 */
const FIRST_TAP = 512;

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

/** Those that the VMM opens by name. */
export function tapsOf({ cards }: Cards): readonly TapBackend[] {
  return cards.map(({ backend }) => backend).filter((backend) => backend.kind === "tap");
}

/** Whether there is a card of that kind. */
export function hasCard({ cards }: Cards, kind: CardBackend["kind"]): boolean {
  return cards.some(({ backend }) => backend.kind === kind);
}

/** The number that the VMM has a card's tap as. */
export function tapDescriptor({ cards }: Cards, card: CardSpec): number {
  return FIRST_TAP + cards.indexOf(card);
}

/** The words around a jail that give it its taps. */
export function aroundTaps(spec: Cards, argv: readonly string[]): readonly string[] {
  return spec.cards.reduce(
    (words, card) =>
      card.backend.kind === "descriptor" ? card.backend.around(words, tapDescriptor(spec, card)) : words,
    argv,
  );
}

/**
 * @throws KilnError invalid_argument `too-many-cards`, `bad-card-id`, `bad-mac`, `no-such-card`; failed_precondition
 * `no-user-network`
 */
export function checkCards(spec: Cards, capabilities: VmmCapabilities): void {
  const { cards } = spec;
  const ofUser = cards.filter(({ backend }) => isOfUser(backend)).length;
  if (cards.length - ofUser > MAX_CARDS || ofUser > MAX_USER_CARDS) {
    const what = `${ofUser} cards on the user network and ${cards.length - ofUser} on named ones`;
    throw refused("too-many-cards", `${what}: every VMM takes ${MAX_USER_CARDS} and ${MAX_CARDS}`);
  }
  if (new Set(cards.map(({ id }) => id)).size !== cards.length)
    throw refused("bad-card-id", "two network cards with the same id");
  const { cards: userKind = "tap", userNetwork, networkCards } = capabilities;
  for (const { id, mac, backend } of cards) {
    if (!/^[a-z][a-z0-9]{0,19}$/.test(id)) throw refused("bad-card-id", `network card ${JSON.stringify(id)}`);
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac))
      throw refused("bad-mac", `a network card with the MAC address ${JSON.stringify(mac)}`);
    const wanted = isOfUser(backend) ? userKind : networkCards;
    if (backend.kind !== wanted)
      throw refused("no-such-card", `a network card of the kind ${backend.kind}: this VMM has ${wanted}`);
  }
  if (!cards.some(({ backend }) => backend.kind === "tap" && isOfUser(backend)) || userNetwork) return;
  throw new KilnError(Code.FailedPrecondition, "this VMM has no rootless network card on this host", {
    reason: "no-user-network",
    hint: "`kiln doctor` tells what is missing; published ports work without a card (--network none)",
  });
}

function isOfUser(backend: CardBackend): boolean {
  return backend.kind === "stream" || (backend.kind === "tap" && backend.on === "user");
}

function refused(reason: string, what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the VM cannot have ${what}`, { reason });
}
