// The SDK's door. The first block is for users and follows semantic versioning; the second is for kiln's own CLI.

export { Code, hasReason, KilnError } from "../base/errors.js";
export type { AttachExit, AttachOptions } from "./attach.js";
export { Attachment } from "./attach.js";
export { CapturedOutput } from "./captured-output.js";
export type { ConnectOptions } from "./connect.js";
export type { CallOptions } from "./deadline.js";
export type { EventOptions } from "./events.js";
export type { ExecOptions, ExecResult } from "./exec.js";
export { Exec } from "./exec.js";
export type {
  ImageDetails,
  ImportOptions,
  ListImagesOptions,
  PullOptions,
  RegistryAuth,
  RemovedImage,
  RemoveImageOptions,
} from "./images.js";
export { Images } from "./images.js";
export type { BuildKernelOptions, ImportKernelOptions, RemoveKernelOptions } from "./kernels.js";
export { Kernels } from "./kernels.js";
export { Kiln } from "./kiln.js";
export { Listing } from "./listing.js";
export type { LogChunk, LogOptions } from "./logs.js";
export type { Mount, MountStatus, Ulimit } from "./mount-types.js";
export type { NetworkAttachment, NetworkInfo, NetworkMember, NetworkStatus } from "./network-types.js";
export type { CreateNetworkOptions, ListNetworksOptions, PruneNetworksOptions } from "./networks.js";
export { Networks } from "./networks.js";
export type { ProcessConfig, ProcessInfo, ProcessState, ProcessStatus } from "./process-info.js";
export type { OutputChunk } from "./process-stream.js";
export type { StatsOptions, StatsSample } from "./stats.js";
export type { PruneAllOptions, PruneOptions } from "./system.js";
export type {
  BootTimings,
  BuiltKernel,
  GuestTimings,
  ImageConfig,
  ImageInfo,
  KernelInfo,
  KilnEvent,
  PathInfo,
  PortBinding,
  Progress,
  PruneResult,
  PulledImage,
  RestartPolicy,
  Setting,
  Size,
  SystemInfo,
  VersionInfo,
  VmConfig,
  VmInfo,
  VmmChoice,
  VmState,
  VmStats,
  VmStatus,
} from "./types.js";
export type { DiskUsage, DiskUsageOptions, UsageItem, UsageRow } from "./usage.js";
export type { RemoveOptions, SpawnOptions, StopOptions, VmChanges, WaitOptions } from "./vm.js";
export { Vm } from "./vm.js";
export type { ArchiveResult, CopyOptions, ReadOptions, WriteOptions } from "./vm-file-options.js";
export { VmFiles } from "./vm-files.js";
export type { ListVmsOptions } from "./vm-list.js";
export type { CreateOptions, RunOptions, TerminalSize, VmOptions } from "./vm-options.js";
export type {
  DirectoryEntry,
  FileChange,
  FileType,
  FileWatcher,
  MkdirOptions,
  RemovePathOptions,
  RenameOptions,
  VmPath,
  WatchOptions,
} from "./vm-paths.js";
export { VmPorts } from "./vm-ports.js";
export type { ProcessLogOptions, RemoveProcessOptions } from "./vm-process.js";
export { VmProcess } from "./vm-process.js";
export type { ListProcessesOptions, StartProcessOptions } from "./vm-processes.js";
export { VmProcesses } from "./vm-processes.js";
export { Vms } from "./vms.js";
export type { CreateVolumeOptions, ListVolumesOptions, PruneVolumesOptions, VolumeInfo } from "./volumes.js";
export { Volumes } from "./volumes.js";

// Only for kiln's CLI: may change in any release.

export { attachExitFromBinary } from "./attach.js";
export { callFailure } from "./call-failure.js";
export { daemonSilent } from "./daemon-pulse.js";
export { resolveHost } from "./host.js";
export { daemonLost } from "./outage.js";
