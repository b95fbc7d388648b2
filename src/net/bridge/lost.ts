// What others take away of a network that is up: `nft flush ruleset` (a restart of nftables.service does it), a bridge that is
// deleted. Pure.

import { bridgeName, tableName, tapName } from "../../base/networks.js";
import type { NetworkCard } from "../types.js";
import type { Listing } from "./found.js";
import type { Live } from "./live.js";
import { cardTable } from "./plan-card.js";

const MOST_NAMES = 5;

/** A place at one moment. */
export interface Sight {
  readonly links: ReadonlySet<string>;
  /** Of the moment before: a card that has only come may not have its rules yet. */
  readonly before: ReadonlySet<string>;
  /** Of all counters: each card has one in its network's table, and one in its own. */
  readonly counters: Listing;
}

export interface Loss {
  readonly isBridge: boolean;
  /** Names of VMs whose rules are not there. */
  readonly rules: readonly string[];
}

/** Undefined where all is there. */
export function lossOf({ spec, cards }: Live, { links, before, counters }: Sight): Loss | undefined {
  const found = new Set(
    counters.flatMap(({ counter }) =>
      counter === undefined ? [] : [`${counter.family} ${counter.table} ${counter.name}`],
    ),
  );
  const isHere = (card: NetworkCard) => {
    const tap = tapName(card.vmId, card.index);
    return links.has(tap) && before.has(tap);
  };
  const hasRules = ([name, card]: readonly [string, NetworkCard]) =>
    found.has(`inet ${tableName(spec.id)} ${name}`) && found.has(`netdev ${cardTable(card)} forged`);
  const rules = [...cards]
    .filter(([name, card]) => isHere(card) && !hasRules([name, card]))
    .map(([, { vmName }]) => vmName);
  const isBridge = !links.has(bridgeName(spec.id));
  return isBridge || rules.length > 0 ? { isBridge, rules } : undefined;
}

/** For people. */
export function wordsOf({ isBridge, rules }: Loss): string {
  const more = rules.length > MOST_NAMES ? ` and ${rules.length - MOST_NAMES} more` : "";
  const names = `${rules.slice(0, MOST_NAMES).join(", ")}${more}`;
  return [...(isBridge ? ["its bridge"] : []), ...(rules.length > 0 ? [`the rules of ${names}`] : [])].join(
    ", ",
  );
}
