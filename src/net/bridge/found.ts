// What there is of networks in a place, as nft and the kernel tell it: for counters, and to find what nobody owns.

import * as v from "valibot";
import type { CardCounters } from "../types.js";

/** libnftables-json(5), as far as it is needed. */
const ListingSchema = v.object({
  nftables: v.array(
    v.looseObject({
      table: v.optional(v.looseObject({ family: v.string(), name: v.string() })),
      chain: v.optional(v.looseObject({ family: v.string(), table: v.string(), name: v.string() })),
      counter: v.optional(
        v.looseObject({ family: v.string(), table: v.string(), name: v.string(), packets: v.number() }),
      ),
      map: v.optional(v.looseObject({ name: v.string(), elem: v.optional(v.array(v.unknown())) })),
      set: v.optional(v.looseObject({ name: v.string(), elem: v.optional(v.array(v.unknown())) })),
    }),
  ),
});

export type Listing = v.InferOutput<typeof ListingSchema>["nftables"];

/** @param text of `nft -j list ...` */
export function parseListing(text: string): Listing {
  return text.trim() === "" ? [] : v.parse(ListingSchema, JSON.parse(text)).nftables;
}

export function tablesIn(listing: Listing): (readonly [family: string, name: string])[] {
  return listing.flatMap(({ table }) => (table === undefined ? [] : [[table.family, table.name] as const]));
}

/**
 * By names of cards (`cardName`).
 *
 * @param listing of all counters
 * @param table the network's
 */
export function countersIn(listing: Listing, table: string): Map<string, CardCounters> {
  const all = listing.flatMap(({ counter }) => (counter === undefined ? [] : [counter]));
  const forged = new Map(
    all
      .filter(({ family, name }) => family === "netdev" && name === "forged")
      .map((c) => [c.table, c.packets]),
  );
  return new Map(
    all
      .filter(
        (counter) => counter.family === "inet" && counter.table === table && counter.name.startsWith("vm_"),
      )
      .map(({ name, packets }) => [name, { denied: packets, forged: forged.get(`kiln_${name}`) ?? 0 }]),
  );
}

/**
 * Tables of cards that are not `cards` (names), of these VMs: others belong to another data root.
 *
 * @param tables names of all. @param vms ids of all of this data root
 */
export function staleTables(
  tables: ReadonlySet<string>,
  vms: readonly string[],
  cards: ReadonlySet<string>,
): string[] {
  const own = new Set(vms.map((id) => id.slice(0, 12)));
  return [...tables].filter((table) => {
    const [, name = "", vm = ""] = /^kiln_(vm_([0-9a-f]{12})_[0-9])$/.exec(table) ?? [];
    return own.has(vm) && !cards.has(name);
  });
}

/**
 * Rules that take away what is left of cards which a network has and which are not `cards` (names).
 *
 * @param listing of the network's table
 */
export function planOwnerless(listing: Listing, table: string, cards: ReadonlySet<string>): string {
  const gone = new Set(
    listing.flatMap(({ chain }) =>
      chain?.name.startsWith("vm_") === true && !cards.has(chain.name) ? [chain.name] : [],
    ),
  );
  const elements = listing.flatMap(({ map }) =>
    (map?.elem ?? []).flatMap((element) => {
      const [address, target] = elementOf(element);
      return map !== undefined && target !== undefined && gone.has(target)
        ? [{ set: map.name, address }]
        : [];
    }),
  );
  const addresses = new Set(elements.map(({ address }) => address));
  const unresolved = listing.flatMap(({ set }) =>
    set?.name.startsWith("unresolved") === true
      ? (set.elem ?? []).flatMap((address) =>
          typeof address === "string" && addresses.has(address) ? [{ set: set.name, address }] : [],
        )
      : [],
  );
  return [
    ...[...elements, ...unresolved].map(
      ({ set, address }) => `delete element inet ${table} ${set} { ${address} }`,
    ),
    ...[...gone].map((name) => `flush chain inet ${table} ${name}`),
    ...[...gone].map((name) => `delete chain inet ${table} ${name}`),
    ...[...gone].map((name) => `delete counter inet ${table} ${name}`),
    "",
  ].join("\n");
}

const ElementSchema = v.tuple([v.string(), v.looseObject({ goto: v.looseObject({ target: v.string() }) })]);

function elementOf(element: unknown): [address: string, target: string | undefined] {
  const parsed = v.safeParse(ElementSchema, element);
  return parsed.success ? [parsed.output[0], parsed.output[1].goto.target] : ["", undefined];
}
