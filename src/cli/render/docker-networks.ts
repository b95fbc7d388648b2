// Networks under the names that `docker inspect` and `docker network inspect` have.

import type { NetworkInfo, NetworkStatus, VmInfo } from "../../sdk/index.js";

const NEVER = "0001-01-01T00:00:00Z";

/** Docker's addresses at the top are those of the network that has always been there: here `user`, else the first. */
export function dockerNetworks({ config, status }: VmInfo): object {
  const [first] = status.networks;
  const hasUser = config.network !== "none" || first === undefined;
  const named = status.networks.map((network) => [network.network, endpointOf(network)]);
  return {
    IPAddress: status.ipAddress || (hasUser ? "" : first.ip),
    MacAddress: hasUser ? "" : first.mac,
    Gateway: hasUser ? "" : first.gateway,
    GlobalIPv6Address: hasUser ? "" : first.ip6,
    Networks: Object.fromEntries([
      ...(hasUser ? [[config.network, { IPAddress: status.ipAddress }]] : []),
      ...named,
    ]),
  };
}

function endpointOf(network: NetworkStatus): object {
  return {
    NetworkID: network.networkId,
    Aliases: network.aliases,
    IPAddress: network.ip,
    IPPrefixLen: network.ip === "" ? 0 : network.prefix,
    Gateway: network.gateway,
    GlobalIPv6Address: network.ip6,
    GlobalIPv6PrefixLen: network.ip6 === "" ? 0 : network.prefix6,
    IPv6Gateway: network.gateway6,
    MacAddress: network.mac,
  };
}

/** As `docker network inspect` has it; its containers are those that may have it, running or not. */
export function dockerNetwork(network: NetworkInfo): object {
  const pools = [
    { Subnet: network.subnet, Gateway: network.gateway, IPRange: network.ipRange },
    { Subnet: network.subnet6, Gateway: network.gateway6, IPRange: "" },
  ];
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt ?? NEVER,
    Scope: "local",
    Driver: network.driver,
    EnableIPv4: network.subnet !== "",
    EnableIPv6: network.subnet6 !== "",
    IPAM: { Driver: "default", Options: {}, Config: pools.filter(({ Subnet }) => Subnet !== "") },
    Internal: network.internal,
    Attachable: false,
    Ingress: false,
    Containers: Object.fromEntries(
      network.members.map(({ vmId, vm, ip, ip6, mac }) => [
        vmId,
        { Name: vm, EndpointID: "", MacAddress: mac, IPv4Address: ip, IPv6Address: ip6 },
      ]),
    ),
    Options: network.options,
    Labels: network.labels,
  };
}
