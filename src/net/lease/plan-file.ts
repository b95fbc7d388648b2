// What kiln-lease reads: what each guest is told that asks for its address. Pure. The other side is agent/lease/src/plan.rs.

/** Of all guests on one link. */
export interface LeaseNetwork {
  /** The MAC address of its answers. */
  readonly sender: string;
  /** Who it is to clients of DHCPv4: where a guest sends renewals first. */
  readonly server4: string;
  /** Link-local: for a guest that is given a router, the router's. */
  readonly link6: string;
  /** The router has the MAC address of `sender`; otherwise it is asked for. */
  readonly hasRouter: boolean;
  readonly mtu: number;
}

export interface LeaseCard {
  readonly mac: string;
  /** With prefixes; "" for none. */
  readonly ip4: string;
  readonly ip6: string;
  /** "" where it has no way out here. */
  readonly router4: string;
  /** Whether its way out is by `link6`. */
  readonly router6: boolean;
  /** Resolvers, of both families. */
  readonly dns: readonly string[];
  readonly search: readonly string[];
  readonly hostname: string;
}

/** As kiln-lease sends them to its guests at most, of each family. */
const MOST_SERVERS = 8;
/** A name in it that is none would be a second word, or line. */
const NAME = /^[0-9A-Za-z_.-]{1,253}$/;

export function planLeaseFile(network: LeaseNetwork, cards: readonly LeaseCard[]): string {
  const { sender, server4, link6, hasRouter, mtu } = network;
  const first = { sender, server4, link6, "has-router": hasRouter ? "yes" : "no", mtu: String(mtu) };
  const lines = cards.map((card) => line("card", wordsOf(card)));
  return [line("network", first), ...lines].map((text) => `${text}\n`).join("");
}

function wordsOf({ mac, ip4, ip6, router4, router6, dns, search, hostname }: LeaseCard) {
  const servers = (isOf6: boolean) =>
    dns
      .filter((one) => one.includes(":") === isOf6)
      .slice(0, MOST_SERVERS)
      .join(",");
  return {
    ...{ mac, ip4, router4, dns4: servers(false) },
    ...{ ip6, router6: router6 ? "yes" : "", dns6: servers(true) },
    search: search.filter((one) => NAME.test(one)).join(","),
    hostname: NAME.test(hostname) ? hostname : "",
  };
}

/** What is "" is left out. */
function line(kind: string, words: Readonly<Record<string, string>>): string {
  const said = Object.entries(words).filter(([, value]) => value !== "");
  return [kind, ...said.map(([key, value]) => `${key}=${value}`)].join(" ");
}
