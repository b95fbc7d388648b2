// The CNI networks of this host as networks are shown: they have no record of kiln's, and so no id and no subnet that is known.

import type { CniListing, CniRoom } from "../../net/types.js";
import { cardIndex } from "../vm/network-config.js";
import type { VmRegistry } from "../vm/registry.js";
import { type CniUses, cniCardsOf, givenTo } from "./cni-uses.js";
import type { NetworkView } from "./network-verbs.js";
import type { NetworkMember } from "./networks.js";

interface Deps {
  readonly rooms: { readonly cni?: CniRoom | undefined };
  readonly vms: Pick<VmRegistry, "list">;
  readonly cniUses: Pick<CniUses, "joinedOf">;
}

/** Of several files of one name the first counts; one that can't be read goes by its path. */
export async function cniViews(deps: Deps): Promise<NetworkView[]> {
  const views = new Map<string, NetworkView>();
  const listings = (await deps.rooms.cni?.list()) ?? [];
  const keeping = listings.length === 0 ? undefined : await deps.rooms.cni?.keeping();
  const unheld = keeping?.isKept === false ? { unheld: keeping.why } : {};
  for (const listing of listings) {
    const view = viewOf(listing, unheld, deps);
    if (!views.has(view.name)) views.set(view.name, view);
  }
  return [...views.values()];
}

/** @param held why its guests are not held to their addresses, where that is so */
function viewOf(
  { name, path, plugins, flaw }: CniListing,
  held: Readonly<Record<string, string>>,
  deps: Deps,
): NetworkView {
  return {
    ...{ id: "", name: `cni:${name || path}`, createdAt: "", driver: "cni" },
    ...{ subnet4: "", gateway4: "", range4: "", subnet6: "", gateway6: "" },
    ...{ internal: false, isolated: false, mtu: 0, dnsDisabled: false, labels: {} },
    options: {
      ...{ file: path, ...held },
      ...(plugins.length === 0 ? {} : { plugins: plugins.join(",") }),
      ...(flaw === "" ? {} : { flaw }),
    },
    members: name === "" ? [] : membersOf(name, deps),
  };
}

function membersOf(network: string, { vms, cniUses }: Deps): NetworkMember[] {
  return vms.list().flatMap(({ name: vmName, record }) =>
    cniCardsOf(record)
      .filter((card) => card.network === network)
      .map(({ vmId, index, ip, ip6, mac }) => {
        const { networks } = record.config;
        const { aliases = [] } = networks.find((one, place) => cardIndex(one, place) === index) ?? {};
        const given = givenTo(cniUses.joinedOf({ vmId, index }));
        return { vmId, vmName, aliases, ...(given ?? { ip, ip6, mac }) };
      }),
  );
}
