// kiln.v1.NetworkService over the engine.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type { Engine, NetworkView } from "../engine/index.js";
import type { NetworkService } from "../gen/kiln/v1/network_pb.js";
import type { NetworkSchema } from "../gen/kiln/v1/types_pb.js";
import { fromAttachment } from "./convert-networks.js";
import { toTimestamp } from "./convert-vm.js";

export function createNetworkService({ networks }: Engine): ServiceImpl<typeof NetworkService> {
  return {
    async createNetwork({
      name,
      driver,
      subnets,
      gateways,
      ipRanges,
      ipv6,
      internal,
      dnsDisabled,
      ...words
    }) {
      const { options, labels } = words;
      const addresses = { subnets, gateways, ranges: ipRanges, ipv6 };
      const order = { name, driver, ...addresses, internal, dnsDisabled, options, labels };
      return { network: toNetwork(await networks.create(order)) };
    },
    listNetworks: async ({ filters }) => ({ networks: (await networks.listAll(filters)).map(toNetwork) }),
    getNetwork: async ({ network }) => ({ network: toNetwork(await networks.show(network)) }),
    removeNetwork: async ({ network }) => ({ id: await networks.remove(network) }),
    pruneNetworks: async ({ filters }) => ({ networks: await networks.prune(filters) }),
    async connectNetwork({ vm, attachment }) {
      if (attachment === undefined) throw noAttachment();
      const wanted = fromAttachment(attachment);
      return { network: toNetwork(await networks.connect(wanted.name, vm, wanted)) };
    },
    async disconnectNetwork({ vm, network }) {
      await networks.disconnect(network, vm);
      return {};
    },
  };
}

function noAttachment(): KilnError {
  return new KilnError(Code.InvalidArgument, "the request names no network", { reason: "bad-request" });
}

function toNetwork(network: NetworkView): MessageInitShape<typeof NetworkSchema> {
  const { id, name, driver, subnet4, gateway4, range4, subnet6, gateway6 } = network;
  const { internal, isolated, mtu, dnsDisabled } = network;
  return {
    ...{ id, name, driver, subnet: subnet4, gateway: gateway4, ipRange: range4, subnet6, gateway6 },
    ...{ internal, isolated, mtu, dnsDisabled },
    createdAt: toTimestamp(network.createdAt || undefined),
    options: { ...network.options },
    labels: { ...network.labels },
    members: network.members.map(({ vmId, vmName, ip, ip6, mac, aliases }) => ({
      ...{ vmId, vm: vmName, ip, ip6, mac },
      aliases: [...aliases],
    })),
  };
}
