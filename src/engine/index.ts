// The door of the engine.

// What the API shows of other rooms' nouns.
export { parsePlatform } from "../image/index.js";
export type { RegistryCredentials, StoredImage } from "../image/types.js";
export type { StoredKernel } from "../kernel/types.js";
// For programs that embed kiln and for the API.
export { Engine, type EngineOptions } from "./engine.js";
export type { KilnEvent } from "./events.js";
export { PRUNE_FILTERS, parseFilters } from "./filters.js";
export { type Host, readHost } from "./host.js";
export type { ListedBuild, ListedKernel } from "./kernel-verbs.js";
export type { LogStream } from "./log-format.js";
export type { OutputPlace } from "./log-position.js";
export {
  closedParents,
  createUserPerVm,
  DEFAULT_USER_RANGE,
  OWN_USER,
  type Ownership,
} from "./ownership.js";
export type { CopyOrder } from "./pending-copies.js";
export type { AttachOutput, AttachSpec, ExecAsk, ExecOutput, ExecSpec, ProcessInput } from "./process-io.js";
// For the daemon, and for tests that bring their own rooms.
export type { Rooms } from "./rooms.js";
export { defaultSettings, type EngineSettings } from "./settings.js";
export type { ListedVmm } from "./system-verbs.js";
export type { DiskUsage } from "./usage.js";
export { UserRegistry } from "./user-registry.js";
export { defaultConfig, type PortBinding, type VmConfig } from "./vm-config.js";
export type { PullPolicy } from "./vm-create.js";
export type { VmEntry } from "./vm-entry.js";
export type { DirectoryEntry, FileEvent } from "./vm-paths.js";
export { isLive, type VmState } from "./vm-state.js";
export type { VmUsage } from "./vm-stats.js";
export type { Timings, VmStatus } from "./vm-status.js";
export type { WaitCondition } from "./vm-verbs.js";
export { createRooms, type RoomOptions } from "./wire-rooms.js";
