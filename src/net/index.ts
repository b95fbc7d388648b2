// The door of the network room.

export { type HostDns, readHostDns } from "./host-dns.js";
export {
  type GuestDial,
  type PublishedPort,
  type PublishLimits,
  publishPort,
} from "./publish.js";
export { planUserNetwork, type UserNetworkPlan } from "./user-network.js";
