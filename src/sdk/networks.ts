// `kiln.networks`: by which VMs reach each other.

import type { NetworkJson, NetworkMemberJson } from "../gen/kiln/v1/types_pb.js";
import { dateOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { Listing } from "./listing.js";
import { planAttachment } from "./network-options.js";
import type { NetworkAttachment, NetworkInfo, NetworkMember } from "./network-types.js";
import type { Transport } from "./transport.js";

/** Options of `kiln.networks.create()`. */
export interface CreateNetworkOptions extends CallOptions {
  /** Default "bridge". */
  readonly driver?: string | undefined;
  /** "10.89.7.0/24", "fd00:7::/64": at most one of each family. Default: one of IPv4 that is free. */
  readonly subnets?: readonly string[] | undefined;
  /** Default: the first address of each subnet. */
  readonly gateways?: readonly string[] | undefined;
  /** Of IPv4: addresses are chosen from this part of the subnet. */
  readonly ipRanges?: readonly string[] | undefined;
  /** IPv6 too, of a subnet that is chosen where none is given. */
  readonly ipv6?: boolean | undefined;
  /** No way out. */
  readonly internal?: boolean | undefined;
  /** No names of VMs, and none of outside. */
  readonly dnsDisabled?: boolean | undefined;
  /** `mtu`, `isolated`; Docker's names for them too. */
  readonly options?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

const CREATE_NETWORK_OPTIONS: NamesOf<CreateNetworkOptions> = {
  ...CALL,
  ...{ driver: true, subnets: true, gateways: true, ipRanges: true, ipv6: true, internal: true },
  ...{ dnsDisabled: true, options: true, labels: true },
};

/** Options of `kiln.networks.list()`. */
export interface ListNetworksOptions extends CallOptions {
  /** "name=web", "label=k=v", "driver=bridge", "dangling=true", "id=ab12". */
  readonly filter?: readonly string[] | undefined;
}

/** Options of `kiln.networks.prune()`. */
export interface PruneNetworksOptions extends CallOptions {
  /** "until=24h", "label=name=value". */
  readonly filter?: readonly string[] | undefined;
}

const FILTER_OPTIONS: NamesOf<ListNetworksOptions & PruneNetworksOptions> = { ...CALL, filter: true };

/** The networks of one kilnd. */
export class Networks {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Makes a network.
   *
   * @throws KilnError already_exists `name-in-use`, `subnet-overlaps`; invalid_argument `bad-name`, `bad-subnet`, `bad-gateway`;
   *   resource_exhausted `no-free-subnet`
   */
  async create(name: string, options: CreateNetworkOptions = {}): Promise<NetworkInfo> {
    checkOptions("kiln.networks.create()", options, CREATE_NETWORK_OPTIONS);
    const request = {
      ...{ name, driver: options.driver ?? "", ipv6: options.ipv6 ?? false },
      ...{ internal: options.internal ?? false, dnsDisabled: options.dnsDisabled ?? false },
      subnets: options.subnets?.slice() ?? [],
      gateways: options.gateways?.slice() ?? [],
      ipRanges: options.ipRanges?.slice() ?? [],
      options: { ...options.options },
      labels: { ...options.labels },
    };
    const { network } = await this.#transport.unary("NetworkService/CreateNetwork", request, options);
    return networkFromJson(network);
  }

  list(options: ListNetworksOptions = {}): Listing<NetworkInfo> {
    return new Listing(async () => {
      checkOptions("kiln.networks.list()", options, FILTER_OPTIONS);
      const request = { filters: options.filter?.slice() ?? [] };
      const { networks } = await this.#transport.unary("NetworkService/ListNetworks", request, options);
      return (networks ?? []).map(networkFromJson);
    });
  }

  /** @param network name, id or unique id prefix */
  async get(network: string, options: CallOptions = {}): Promise<NetworkInfo> {
    checkOptions("kiln.networks.get()", options, CALL);
    const answer = await this.#transport.unary("NetworkService/GetNetwork", { network }, options);
    return networkFromJson(answer.network);
  }

  /** @throws KilnError failed_precondition `network-in-use` where a VM has it among its networks, running or not */
  async remove(network: string, options: CallOptions = {}): Promise<void> {
    checkOptions("kiln.networks.remove()", options, CALL);
    await this.#transport.unary("NetworkService/RemoveNetwork", { network }, options);
  }

  /** Removes those that no VM has. @returns their names */
  async prune(options: PruneNetworksOptions = {}): Promise<readonly string[]> {
    checkOptions("kiln.networks.prune()", options, FILTER_OPTIONS);
    const request = { filters: options.filter?.slice() ?? [] };
    const { networks } = await this.#transport.unary("NetworkService/PruneNetworks", request, options);
    return networks ?? [];
  }

  /**
   * Puts a VM on a network: one that runs at once, any other from its next start on.
   *
   * ```ts
   * await kiln.networks.connect("db", "web:ip=10.89.0.5,alias=postgres");
   * ```
   *
   * @throws KilnError failed_precondition `not-supported`, `no-hotplug`, `agent-too-old`, `vm-paused`; already_exists
   *   `already-connected`, `ip-in-use`
   */
  async connect(
    vm: string,
    network: string | Partial<NetworkAttachment>,
    options: CallOptions = {},
  ): Promise<NetworkInfo> {
    checkOptions("kiln.networks.connect()", options, CALL);
    const request = { vm, attachment: planAttachment(network) };
    const answer = await this.#transport.unary("NetworkService/ConnectNetwork", request, options);
    return networkFromJson(answer.network);
  }

  /** @throws KilnError not_found `not-connected`; as `connect` */
  async disconnect(vm: string, network: string, options: CallOptions = {}): Promise<void> {
    checkOptions("kiln.networks.disconnect()", options, CALL);
    await this.#transport.unary("NetworkService/DisconnectNetwork", { vm, network }, options);
  }
}

function networkFromJson(json: NetworkJson = {}): NetworkInfo {
  return {
    id: json.id ?? "",
    name: json.name ?? "",
    createdAt: dateOf(json.createdAt),
    labels: json.labels ?? {},
    driver: json.driver ?? "",
    ...{ subnet: json.subnet ?? "", gateway: json.gateway ?? "", ipRange: json.ipRange ?? "" },
    ...{ subnet6: json.subnet6 ?? "", gateway6: json.gateway6 ?? "" },
    internal: json.internal ?? false,
    isolated: json.isolated ?? false,
    mtu: json.mtu ?? 0,
    dnsDisabled: json.dnsDisabled ?? false,
    options: json.options ?? {},
    members: (json.members ?? []).map(memberFromJson),
  };
}

function memberFromJson(json: NetworkMemberJson): NetworkMember {
  return {
    ...{ vmId: json.vmId ?? "", vm: json.vm ?? "" },
    ...{ ip: json.ip ?? "", ip6: json.ip6 ?? "", mac: json.mac ?? "" },
    aliases: json.aliases ?? [],
  };
}
