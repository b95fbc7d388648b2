// What nft(8) says of a place, asked.

import { tableName } from "../../base/networks.js";
import { type Listing, parseListing, tablesIn } from "./found.js";
import type { Ground } from "./ground.js";
import { runIn } from "./place.js";

/** Names of all tables. */
export async function tableNames({ place, programs }: Ground): Promise<Set<string>> {
  const text = await runIn(place, "look at the rules of networks", [programs.nft, "-j", "list", "tables"]);
  return new Set(tablesIn(parseListing(text)).map(([, name]) => name));
}

/** A network's own. */
export async function networkTable({ place, programs }: Ground, networkId: string): Promise<Listing> {
  const argv = [programs.nft, "-j", "list", "table", "inet", tableName(networkId)];
  return parseListing(await runIn(place, "look at the rules of a network", argv));
}

/** Of all networks. */
export async function allCounters({ place, programs }: Ground): Promise<Listing> {
  const argv = [programs.nft, "-j", "list", "counters"];
  return parseListing(await runIn(place, "count what networks refused", argv));
}
