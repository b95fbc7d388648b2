// Networks, and what VMs have of them. `kiln inspect` prints these as JSON, so a field's name is API.

/** A named network of a VM, and what the VM has there. */
export interface NetworkAttachment {
  /** Name; as it is asked for, name or id. */
  readonly network: string;
  readonly networkId: string;
  /** "" where the network has no IPv4. */
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
  /** Names by which others on the network find it, beside its own. */
  readonly aliases: readonly string[];
}

/** The same with what the network says. */
export interface NetworkStatus extends NetworkAttachment {
  /** "" where the network has no IPv4. */
  readonly gateway: string;
  /** Bits of the subnet. */
  readonly prefix: number;
  readonly gateway6: string;
  readonly prefix6: number;
}

/** What a VM was asked to have of networks. */
export interface VmNetworks {
  /** "user" or "none": beside the named ones. */
  readonly network: string;
  /** Named ones, in the order of its cards. */
  readonly networks: readonly NetworkAttachment[];
  /** "all", "none", or what it may reach. */
  readonly egress: string;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  /** "dial" or "nft". */
  readonly publishMode: string;
}

/** A network. */
export interface NetworkInfo {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** "bridge". */
  readonly driver: string;
  /** "10.89.0.0/24"; "" where it has no IPv4. */
  readonly subnet: string;
  readonly gateway: string;
  /** Part of the subnet that addresses are chosen from; "": all of it. */
  readonly ipRange: string;
  readonly subnet6: string;
  readonly gateway6: string;
  /** No way out. */
  readonly internal: boolean;
  /** VMs on it do not reach each other. */
  readonly isolated: boolean;
  readonly mtu: number;
  readonly dnsDisabled: boolean;
  /** As they were given. */
  readonly options: Readonly<Record<string, string>>;
  /** VMs that have it among their networks, running or not. */
  readonly members: readonly NetworkMember[];
}

/** A VM on a network. */
export interface NetworkMember {
  readonly vmId: string;
  /** Its name. */
  readonly vm: string;
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
  readonly aliases: readonly string[];
}
