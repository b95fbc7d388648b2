// The user network of a VM: passt beside its VMM.

export { type UserConnection, UserNetworks } from "./networks.js";
export { isHelperUid } from "./plan.js";
