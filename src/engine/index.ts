// The door of the engine: for the daemon, the API, and tests that bring their own rooms.

export type { DirectoryEntry, FileEvent } from "../agent/index.js";
// What the API shows of other rooms' nouns.
export { fullName, parsePlatform } from "../image/index.js";
export type { RegistryCredentials, StoredImage } from "../image/types.js";
export type { StoredKernel } from "../kernel/types.js";
export type { KilnEvent } from "./common/events.js";
export { PRUNE_FILTERS, parseFilters } from "./common/filters.js";
export type { Rooms } from "./common/rooms.js";
export { defaultSettings, type EngineSettings, parseNetworkPools } from "./common/settings.js";
export type { EngineOptions } from "./create-context.js";
export { Engine } from "./engine.js";
export { type Host, readHost } from "./host/host.js";
export {
  closedParents,
  createUserPerVm,
  DEFAULT_USER_RANGE,
  OWN_USER,
  type Ownership,
} from "./host/ownership.js";
export { UserRegistry } from "./host/user-registry.js";
export type { ListedBuild, ListedKernel } from "./kernels/kernel-verbs.js";
export type { NetworkView } from "./networks/network-verbs.js";
export type { LogStream } from "./output/log-format.js";
export type { OutputPlace } from "./output/log-position.js";
export type { ContainerSpec } from "./pods/containers/spec.js";
export type { PodSpec } from "./pods/spec.js";
export type { CopyOrder } from "./run/pending-copies.js";
export type { PullPolicy } from "./run/vm-create.js";
export type { WaitCondition } from "./run/vm-verbs.js";
export type { ListedVmm } from "./system/system-verbs.js";
export type { DiskUsage } from "./system/usage.js";
export { type Mount, mountOf } from "./vm/mount-config.js";
export { attachmentOf, type NetworkAttachment } from "./vm/network-config.js";
export type { VmState } from "./vm/state.js";
export type { Timings, VmStatus } from "./vm/status.js";
export type { MountView, NetworkMembership, VmView } from "./vm/view.js";
export { defaultConfig, type PortBinding, type RestartPolicy, type VmConfig } from "./vm/vm-config.js";
export type { VolumeView } from "./volumes/volume-verbs.js";
export { createRooms, type RoomOptions } from "./wire-rooms.js";
export type {
  AttachOutput,
  AttachSpec,
  ExecAsk,
  ExecOutput,
  ExecSpec,
  ProcessInput,
} from "./workload/process-io.js";
export type { WorkloadState } from "./workload/record.js";
export type { WorkloadView } from "./workload/view.js";
export type { VmUsage } from "./workload/vm-stats.js";
