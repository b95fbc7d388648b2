// The links of a network as lines for `ip -batch -`. Pure. Each batch brings about what is missing and may be run again.

import { parseCidr } from "../../base/cidr.js";
import { bridgeName, type NetworkSpec } from "../../base/networks.js";

/** Of every bridge, and on none of its guests: the one that router advertisements come from. */
export const ROUTER_LINK_LOCAL = "fe80::1";

/** The bridge's MAC address: kept, where Linux would take the lowest of its ports' and change it with them. */
export function bridgeMac(networkId: string): string {
  return ["06", ...(networkId.slice(0, 10).match(/../g) ?? [])].join(":");
}

/** @param links the names of those that are there */
export function planLinks(spec: NetworkSpec, links: ReadonlySet<string>): string {
  const name = bridgeName(spec.id);
  const addresses = [
    [spec.gateway4, spec.subnet4, ""],
    // Without a port there is no carrier, and duplicate address detection would never end.
    [spec.gateway6, spec.subnet6, " nodad"],
  ].flatMap(([gateway, subnet, flags]) =>
    gateway === undefined || subnet === undefined
      ? []
      : [`address replace ${gateway}/${parseCidr(subnet)?.prefix} dev ${name}${flags}`],
  );
  return lines([
    ...(links.has(name)
      ? []
      : // Snooping keeps tables that guests fill; a delay would hold back a guest's first frames.
        [
          `link add ${name} address ${bridgeMac(spec.id)} type bridge mcast_snooping 0 forward_delay 0 ageing_time 30000`,
        ]),
    `link set ${name} mtu ${spec.mtu} addrgenmode none`,
    ...addresses,
    ...(spec.subnet6 === undefined
      ? []
      : [`address replace ${ROUTER_LINK_LOCAL}/64 dev ${name} scope link nodad`]),
    `link set ${name} up`,
  ]);
}

/** No frame passes a bridge that is down, between its ports neither; `planLinks` opens it again. */
export function planShut({ id }: NetworkSpec, links: ReadonlySet<string>): string {
  const name = bridgeName(id);
  return lines(links.has(name) ? [`link set ${name} down`] : []);
}

/** Makes links ports of the network's bridge. @param taps names of those that are there */
export function planTaps({ id, isolated }: NetworkSpec, taps: readonly string[]): string {
  return lines(
    taps.flatMap((tap) => [
      `link set ${tap} master ${bridgeName(id)} up`,
      ...(isolated ? [`link set ${tap} type bridge_slave isolated on`] : []),
    ]),
  );
}

/** What is left of a network's and of VMs' links. */
export function planNoLinks(names: readonly string[], links: ReadonlySet<string>): string {
  return lines(names.filter((name) => links.has(name)).map((name) => `link delete ${name}`));
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}
