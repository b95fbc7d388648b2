// Whoever answers guests of a network that ask for their address: a kiln-lease on the bridge, in the place where that is. Each guest
// is told what is on record of it; one that is not on record is not answered.

import { parseCidr } from "../../base/cidr.js";
import { bridgeName, type NetworkSpec } from "../../base/networks.js";
import { endAnswerer, ensureAnswerer, isAnswererRunning, writeAnswers } from "../lease/answerer.js";
import { type LeaseCard, planLeaseFile } from "../lease/plan-file.js";
import type { NetworkCard } from "../types.js";
import type { Ground } from "./ground.js";
import { bridgeMac, ROUTER_LINK_LOCAL } from "./plan-links.js";
import { resolversOf } from "./resolvers.js";

/** Where a guest sends its renewals first that has IPv6 alone: nowhere. */
const NOWHERE = "169.254.0.1";
const NOT_ROUTED = { v4: false, v6: false };

export interface LeasesOptions {
  /** Of the network: private to kilnd. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** As the cards of this moment have it, at once. @throws KilnError unavailable `network-failed` */
export async function tellLeases(
  options: LeasesOptions,
  { place, programs: { bwrap, lease } }: Ground,
  spec: NetworkSpec,
  cards: readonly NetworkCard[],
): Promise<void> {
  const bridge = bridgeName(spec.id);
  await writeAnswers(options, planLeases(spec, cards));
  await ensureAnswerer({
    ...options,
    ...{ what: `what answers guests of network ${spec.name}`, prefix: place.prefix, bwrap, lease },
    ...{ isOwnUser: place.holder === undefined, on: bridge, with: bridge },
  });
}

export function areLeasesRunning(directory: string): Promise<boolean> {
  return isAnswererRunning(directory);
}

/** Idempotent. */
export function endLeases(directory: string): Promise<void> {
  return endAnswerer({ directory });
}

/** Pure. */
export function planLeases(spec: NetworkSpec, cards: readonly NetworkCard[]): string {
  const network = {
    ...{ sender: bridgeMac(spec.id), server4: spec.gateway4 ?? NOWHERE, link6: ROUTER_LINK_LOCAL },
    ...{ hasRouter: true, mtu: spec.mtu },
  };
  return planLeaseFile(
    network,
    cards.map((card) => leaseOf(spec, card)),
  );
}

function leaseOf(spec: NetworkSpec, { mac, ip4, ip6, lease }: NetworkCard): LeaseCard {
  const routed = lease?.routed ?? NOT_ROUTED;
  return {
    ...{ mac, ip4: within(ip4, spec.subnet4), ip6: within(ip6, spec.subnet6) },
    router4: spec.internal || routed.v4 ? "" : (spec.gateway4 ?? ""),
    router6: !spec.internal && !routed.v6 && spec.gateway6 !== undefined,
    dns: lease?.dns ?? resolversOf(spec),
    // systemd-resolved asks for a name of one part with its domain alone.
    search: lease?.search ?? [spec.name],
    hostname: lease?.hostname ?? "",
  };
}

function within(address: string | undefined, subnet: string | undefined): string {
  const range = parseCidr(subnet ?? "");
  return address === undefined || range === undefined ? "" : `${address}/${range.prefix}`;
}
