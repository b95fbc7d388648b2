// The door of the network room.

export { BridgeNetworks, type BridgeOptions } from "./bridge/networks.js";
export { CniNetworks } from "./cni/networks.js";
export { type HostDns, readHostDns } from "./host-dns.js";
export { publishPort } from "./publish.js";
export type { GuestDial, GuestWishes, PublishedPort, PublishLimits } from "./types.js";
export { planUserNetwork, type UserNetworkPlan, userCard } from "./user/guest-plan.js";
export { UserNetworks } from "./user/networks.js";
export { isHelperUid } from "./user/plan.js";
