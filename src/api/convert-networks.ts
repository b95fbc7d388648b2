// Networks of VMs, between the engine's types and the wire's.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, KilnError } from "../base/errors.js";
import {
  attachmentOf,
  type NetworkAttachment,
  type NetworkMembership,
  type VmConfig,
  type VmView,
} from "../engine/index.js";
import type {
  NetworkAttachmentSchema,
  NetworkStatusSchema,
  VmConfigSchema,
  NetworkAttachment as WireAttachment,
  VmConfig as WireConfig,
} from "../gen/kiln/v1/types_pb.js";

type NetworkWords = Pick<VmConfig, "networks" | "egress" | "dnsSearch" | "dnsOptions" | "publishMode">;

/** @throws KilnError invalid_argument `bad-publish-mode` */
export function fromNetworks(wire: WireConfig): NetworkWords {
  const { egress, dnsSearch, dnsOptions } = wire;
  const publishMode = wire.publishMode || "dial";
  if (publishMode !== "dial" && publishMode !== "nft") {
    throw new KilnError(Code.InvalidArgument, `"${publishMode}" is no way to publish ports`, {
      reason: "bad-publish-mode",
      hint: "choose one of dial, nft",
    });
  }
  return { networks: wire.networks.map(fromAttachment), egress, dnsSearch, dnsOptions, publishMode };
}

export function fromAttachment({ network, ip, ip6, mac, aliases }: WireAttachment): NetworkAttachment {
  return attachmentOf({ name: network, ip, ip6, mac, aliases });
}

export function toNetworks(
  config: VmView["config"],
): Required<Pick<MessageInitShape<typeof VmConfigSchema>, "networks" | "dnsSearch" | "dnsOptions">> {
  return {
    networks: config.networks.map(toAttachment),
    dnsSearch: [...config.dnsSearch],
    dnsOptions: [...config.dnsOptions],
  };
}

export function toNetworkStatuses({ networks }: VmView): MessageInitShape<typeof NetworkStatusSchema>[] {
  return networks.map(({ attachment, ...network }: NetworkMembership) => ({
    ...network,
    attachment: toAttachment(attachment),
  }));
}

function toAttachment({
  name,
  networkId,
  ip,
  ip6,
  mac,
  aliases,
}: VmView["config"]["networks"][number]): MessageInitShape<typeof NetworkAttachmentSchema> {
  return { ...{ network: name, networkId, ip, ip6, mac }, aliases: [...aliases] };
}
