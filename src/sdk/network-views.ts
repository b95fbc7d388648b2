// Networks of the wire as the SDK's nouns.

import type { NetworkAttachmentJson, NetworkStatusJson, VmConfigJson } from "../gen/kiln/v1/types_pb.js";
import type { NetworkAttachment, NetworkStatus, VmNetworks } from "./network-types.js";

export function networksFromJson(json: VmConfigJson): VmNetworks {
  return {
    network: json.network ?? "",
    networks: (json.networks ?? []).map(attachmentFromJson),
    egress: json.egress || "all",
    dns: json.dns ?? [],
    dnsSearch: json.dnsSearch ?? [],
    dnsOptions: json.dnsOptions ?? [],
    publishMode: json.publishMode || "dial",
  };
}

function attachmentFromJson(json: NetworkAttachmentJson = {}): NetworkAttachment {
  return {
    network: json.network ?? "",
    networkId: json.networkId ?? "",
    ip: json.ip ?? "",
    ip6: json.ip6 ?? "",
    mac: json.mac ?? "",
    aliases: json.aliases ?? [],
  };
}

export function networkStatusFromJson(json: NetworkStatusJson): NetworkStatus {
  return {
    ...attachmentFromJson(json.attachment),
    gateway: json.gateway ?? "",
    prefix: json.prefix ?? 0,
    gateway6: json.gateway6 ?? "",
    prefix6: json.prefix6 ?? 0,
  };
}
