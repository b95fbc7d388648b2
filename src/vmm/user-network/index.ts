// The user network of a VM: passt beside its VMM.

export { type NetworkNotice, UserNetworkKeeper } from "./keeper.js";
export { isHelperUid, type PasstPlan, planPasst } from "./plan.js";
export { type PasstProbeOptions, PasstProber, type PasstVerdict } from "./probe.js";
