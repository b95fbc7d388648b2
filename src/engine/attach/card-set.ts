// Cards on named networks that come to a VM that runs, and go. A step that fails is undone; one that nobody could undo, because kilnd
// was killed, is done once more by the next one (`settle`): the VM has what its record says.

import type { AgentSession, CardChange } from "../../agent/index.js";
import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import type { Logger } from "../../base/log.js";
import { UndoStack } from "../../base/undo.js";
import type { HotCards, VmmHandle } from "../../vmm/types.js";
import type { CardPlace } from "../networks/network-uses.js";
import type { RunCards } from "../vm/run-view.js";
import { BridgeCards, cardId } from "./bridge-card.js";
import type { AttachmentSet } from "./set.js";
import type { GuestNetwork } from "./types.js";

export interface CardSetParts {
  readonly name: string;
  readonly attached: AttachmentSet;
  readonly handle: VmmHandle;
  readonly session: (options: { timeoutMs: number }) => Promise<Pick<AgentSession, "machine" | "features">>;
  /** The cards of a VM that was started on no network. */
  readonly make: () => BridgeCards;
  readonly log: Logger;
}

const SESSION_MS = 15_000;
/** A kernel finds a card within two seconds; this is for a guest on its knees. */
const COMING_MS = 20_000;
const CALL_MS = 30_000;
const NO_DNS: NonNullable<CardChange["dns"]> = { servers: [], search: [], options: [] };

export class CardSet implements RunCards {
  readonly #parts: CardSetParts;

  constructor(parts: CardSetParts) {
    this.#parts = parts;
  }

  async require(what: string): Promise<void> {
    const { handle, name, session } = this.#parts;
    const { driver, capabilities } = handle.record;
    this.#hot(what);
    if ((capabilities.hotplugCards ?? 0) === 0) throw noPlace(name, what, driver);
    const { features } = await session({ timeoutMs: SESSION_MS });
    await features.need("cards", `VM ${name} can't ${what} a network`);
  }

  get address(): string {
    return ownAddress(this.#network());
  }

  async add(place: CardPlace): Promise<void> {
    const before = this.#network();
    const cards = await this.#cards();
    await using undo = new UndoStack(() => undefined);
    const hot = this.#hot("be put on");
    const id = cardId(place.card);
    const spec = await cards.join(place);
    undo.push("leave the network", () => cards.leave(place));
    failpoint("card.joined");
    undo.push("take the card away", async () => {
      await hot.cut(id);
      await hot.remove(id);
    });
    await hot.attach(spec);
    failpoint("card.attached");
    await this.#tell(before, []);
    failpoint("card.told");
    undo.commit();
  }

  async remove(place: CardPlace): Promise<void> {
    const { log } = this.#parts;
    const { mac } = place.card;
    const hot = this.#hot("be taken off");
    const before = this.#network();
    const cards = await this.#cards();
    await hot.cut(cardId(place.card));
    failpoint("card.cut");
    await cards.leave(place);
    failpoint("card.left");
    // Nothing that the guest says or leaves unsaid keeps it on the network.
    await this.#tell(before, [mac]).catch((error: unknown) => {
      log.warn("the guest was not told of a card that it has no more", {
        why: KilnError.from(error).message,
      });
    });
    const isGone = await hot.remove(cardId(place.card));
    if (!isGone) log.warn("the guest does not let go of a card, which leads nowhere", { mac });
    failpoint("card.removed");
  }

  /**
   * Gives the VM what its record has and it lacks: a kilnd was killed while it put the VM on a network or took it off. One that
   * came while the VM ran may be there untold, so its guest is told again.
   *
   * @returns the MACs of those that were lacking
   */
  async settle(): Promise<readonly string[]> {
    const { handle, attached } = this.#parts;
    const cards = attached.held.find((one) => one instanceof BridgeCards);
    if (handle.hotCards === undefined || cards === undefined) return [];
    const given: string[] = [];
    for (const place of cards.places) {
      const found = await handle.hotCards.find(cardId(place.card));
      if (found === "launched") continue;
      if (found === undefined) await this.#giveAgain(cards, place);
      if (found === undefined) given.push(place.card.mac);
      await this.#tell({}, [], place.card.mac);
    }
    return given;
  }

  /** The guest may still have one of that address, which leads nowhere. */
  async #giveAgain(cards: BridgeCards, place: CardPlace): Promise<void> {
    const hot = this.#hot("be put on");
    const id = cardId(place.card);
    const { machine } = await this.#parts.session({ timeoutMs: SESSION_MS });
    const gone = { interfaces: [], gone: [place.card.mac], patienceMs: 0 };
    await machine.changeCards(gone, { timeoutMs: CALL_MS });
    await hot.remove(id);
    await hot.attach(await cards.join(place));
  }

  /**
   * What is not as it was.
   *
   * @param before nothing: not known
   * @param only of this card
   */
  async #tell(before: GuestNetwork, gone: readonly string[], only?: string): Promise<void> {
    const now = this.#network();
    const known = new Set((before.interfaces ?? []).map((one) => JSON.stringify(one)));
    const interfaces = (now.interfaces ?? []).filter(
      (one) => !known.has(JSON.stringify(one)) && (only ?? one.mac) === one.mac,
    );
    const isSame = JSON.stringify(before.dns) === JSON.stringify(now.dns);
    const dns = isSame ? {} : { dns: now.dns ?? NO_DNS };
    const { machine } = await this.#parts.session({ timeoutMs: SESSION_MS });
    const moved = only === undefined ? movedOf(before, now) : undefined;
    const change = { interfaces, ...dns, gone, patienceMs: COMING_MS, moved };
    await machine.changeCards(change, { timeoutMs: CALL_MS });
  }

  #network(): GuestNetwork {
    const { attached, handle } = this.#parts;
    return attached.network({ capabilities: handle.record.capabilities });
  }

  async #cards(): Promise<BridgeCards> {
    const { attached, make } = this.#parts;
    const held = attached.held.find((one) => one instanceof BridgeCards);
    if (held !== undefined) return held;
    const made = make();
    await attached.add(made, {});
    return made;
  }

  #hot(what: string): HotCards {
    const { handle, name } = this.#parts;
    if (handle.hotCards !== undefined) return handle.hotCards;
    throw new KilnError(
      Code.FailedPrecondition,
      `VM ${name} runs, and can't ${what} a network: ${handle.record.driver} has its cards from its start on`,
      {
        reason: "not-supported",
        hint: `stop it first: \`kiln stop ${name}\`, and start it again after that`,
      },
    );
  }
}

/** The guest's own name has the address that its first card has. */
function movedOf(before: GuestNetwork, now: GuestNetwork): CardChange["moved"] {
  const [from, to] = [ownAddress(before), ownAddress(now)];
  return from === to ? undefined : { from, to };
}

/** "" of a guest that has none. */
function ownAddress({ interfaces }: GuestNetwork): string {
  return interfaces?.[0]?.addresses[0]?.replace(/\/.*/, "") ?? "";
}

function noPlace(name: string, what: string, driver: string): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `VM ${name} runs, and can't ${what} a network: ${driver} was started without a place for its cards`,
    {
      reason: "no-hotplug",
      hint: `a VM that starts on a named network has one: \`kiln stop ${name}\` first, and start it again after that`,
    },
  );
}
