// Names that no resolver answers to a VM: of the others on its CNI networks, and on all networks of kiln's own but the one whose
// resolver is asked first (what that one does not know, most programs ask nobody else). Its guest has them in /etc/hosts.

import type { HostLine } from "../../agent/index.js";
import { shortId } from "../../base/ids.js";
import { cniName, meansItself } from "../../base/network-flag.js";
import type { VmRecord } from "../vm/record.js";
import { type CniUses, cniCardsOf } from "./cni-uses.js";
import { cardsOf, type NetworkUses } from "./network-uses.js";
import type { Networks } from "./networks.js";

export interface NeighbourFacts {
  readonly networks: Pick<Networks, "get">;
  readonly networkUses: Pick<NetworkUses, "isOn">;
  readonly cniUses: Pick<CniUses, "joinedOf">;
}

type Named = Pick<VmRecord, "id" | "config">;

/**
 * What the guest of a VM is to have in /etc/hosts; undefined where its resolver tells all. Pure, in an order of its own: the
 * same answer is the same text.
 *
 * @param running all VMs that run, itself among them: not asked for where it is on no such network
 */
export function neighboursOf(
  vm: Named,
  running: () => readonly Named[],
  facts: NeighbourFacts,
): HostLine[] | undefined {
  const lines = new Map<string, Set<string>>();
  const keys = unanswered(vm, facts);
  if (keys.length === 0) return undefined;
  for (const other of running()) {
    for (const { key, network, addresses, aliases } of placesOf(other, facts)) {
      if (!keys.includes(key)) continue;
      const names = [other.config.name, ...aliases, shortId(other.id)];
      const all = [...names, ...names.map((name) => `${name}.${network}`)];
      for (const address of addresses) {
        const known = lines.get(address) ?? new Set();
        lines.set(address, known);
        for (const name of all.filter((each) => !meansItself(each))) known.add(name);
      }
    }
  }
  return [...lines]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([address, names]) => ({ address, names: [...names] }));
}

/** The networks that a VM is on, as `placesOf` calls them, whose names its resolver does not tell. */
function unanswered(vm: Named, { networks }: NeighbourFacts): string[] {
  const cni = cniCardsOf(vm).map(({ network }) => `cni:${network}`);
  const own = cardsOf(vm).flatMap(({ networkId }) => networks.get(networkId)?.record ?? []);
  const named = own.filter(({ dnsDisabled }) => !dnsDisabled);
  // As resolvers come in the guest's resolv.conf, unless the user has named others.
  const first = named.find(({ internal }) => !internal) ?? named[0];
  const answered = vm.config.dns.length === 0 ? first?.id : undefined;
  return [...cni, ...named.filter(({ id }) => id !== answered).map(({ id }) => id)];
}

interface Place {
  /** Of the network. */
  readonly key: string;
  readonly network: string;
  readonly addresses: readonly string[];
  readonly aliases: readonly string[];
}

/** Where it is at this moment. */
function placesOf(vm: Named, { networks, networkUses, cniUses }: NeighbourFacts): Place[] {
  const here = cardsOf(vm).filter(({ networkId }) => networkUses.isOn(networkId, vm.id));
  const own = here.map(({ networkId, card: { ip4, ip6, aliases } }) => ({
    key: networkId,
    network: networks.get(networkId)?.name ?? "",
    addresses: [ip4, ip6].filter((address) => address !== undefined),
    aliases,
  }));
  const cni = cniCardsOf(vm).map((card) => ({
    key: `cni:${card.network}`,
    network: card.network,
    addresses: (cniUses.joinedOf(card)?.addresses ?? []).map((address) => address.replace(/\/.*/, "")),
    aliases: vm.config.networks.find(({ name }) => cniName(name) === card.network)?.aliases ?? [],
  }));
  return [...own, ...cni];
}
