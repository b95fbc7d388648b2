// Those on a network that is there again, of whom some rules, or none, may be left.

import { failpoint } from "../../base/failpoint.js";
import { tableName, tapName } from "../../base/networks.js";
import type { NetworkCard } from "../types.js";
import { planOwnerless } from "./found.js";
import type { Ground } from "./ground.js";
import { networkTable, tableNames } from "./listings.js";
import type { Live } from "./live.js";
import { linksIn, runIn } from "./place.js";
import { cardTable, planCard, planPolicy } from "./plan-card.js";
import { planTaps } from "./plan-links.js";
import { planPorts } from "./plan-publish.js";

/** Their rules, their published ports, and their taps as ports of the bridge, in that order; what is of nobody goes. */
export async function restoreCards(ground: Ground, live: Live): Promise<void> {
  const { place, programs } = ground;
  const { spec } = live;
  const cards = [...live.cards.values()];
  const [links, tables] = await Promise.all([linksIn(place), tableNames(ground)]);
  const isHere = (card: NetworkCard) => links.has(tapName(card.vmId, card.index));
  const rules = cards.map((card) =>
    isHere(card) && !tables.has(cardTable(card)) ? planCard(spec, card) : planPolicy(spec, card),
  );
  const listing = await networkTable(ground, spec.id);
  const gone =
    planOwnerless(listing, tableName(spec.id), new Set(live.cards.keys())) + planPorts(listing, spec, cards);
  const nft = [programs.nft, "-f", "-"];
  await runIn(place, `load the rules of those on network ${spec.name}`, nft, gone + rules.join(""));
  failpoint("network.adopted");
  const taps = cards.filter(isHere).map((card) => tapName(card.vmId, card.index));
  const batch = planTaps(spec, taps);
  await runIn(place, `take back the ports of network ${spec.name}`, [programs.ip, "-batch", "-"], batch);
}
