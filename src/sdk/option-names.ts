// What each call of the SDK takes, by name.

import type { AttachOptions } from "./attach.js";
import type { EventOptions } from "./events.js";
import type { ExecOptions } from "./exec.js";
import type {
  ImportOptions,
  ListImagesOptions,
  PullOptions,
  RegistryAuth,
  RemoveImageOptions,
} from "./images.js";
import type { BuildKernelOptions, ImportKernelOptions, RemoveKernelOptions } from "./kernels.js";
import type { ConnectOptions } from "./kiln.js";
import { CALL, type NamesOf } from "./known-options.js";
import type { LogOptions } from "./logs.js";
import type { StatsOptions } from "./stats.js";
import type { PruneOptions } from "./system.js";
import type { PortBinding, RestartPolicy } from "./types.js";
import type { RemoveOptions, SpawnOptions, StopOptions, VmChanges, WaitOptions } from "./vm.js";
import type { CopyOptions, ReadOptions, WriteOptions } from "./vm-file-options.js";
import type { TerminalSize, VmOptions } from "./vm-options.js";
import type { MkdirOptions, RemovePathOptions, RenameOptions, WatchOptions } from "./vm-paths.js";
import type { ListVmsOptions } from "./vms.js";

export const CONNECT: NamesOf<ConnectOptions> = { ...CALL, host: true, start: true };
export const PRUNE: NamesOf<PruneOptions> = { ...CALL, all: true, filter: true };
export const EVENTS: NamesOf<EventOptions> = { ...CALL, after: true, since: true, until: true, filter: true };

export const VM: NamesOf<VmOptions> = {
  ...CALL,
  name: true,
  command: true,
  entrypoint: true,
  env: true,
  workdir: true,
  user: true,
  hostname: true,
  labels: true,
  publish: true,
  publishAll: true,
  cpus: true,
  memory: true,
  disk: true,
  kernel: true,
  kernelArgs: true,
  init: true,
  restart: true,
  network: true,
  dns: true,
  addHosts: true,
  platform: true,
  vmm: true,
  stopSignal: true,
  stopTimeoutMs: true,
  tty: true,
  ttySize: true,
  openStdin: true,
  autoRemove: true,
  lifetimeMs: true,
  pull: true,
  onProgress: true,
};

export const TERMINAL_SIZE: NamesOf<TerminalSize> = { columns: true, rows: true };
export const RESTART: NamesOf<RestartPolicy> = { name: true, maximumRetryCount: true };
export const PORT: NamesOf<PortBinding> = {
  hostIp: true,
  hostPort: true,
  hostPortEnd: true,
  vmPort: true,
  protocol: true,
};

export const LIST_VMS: NamesOf<ListVmsOptions> = { ...CALL, all: true, filter: true, limit: true };
export const STOP: NamesOf<StopOptions> = { ...CALL, graceMs: true, stopSignal: true };
export const CHANGES: NamesOf<VmChanges> = { lifetimeMs: true };
export const REMOVE: NamesOf<RemoveOptions> = { ...CALL, force: true };
export const WAIT: NamesOf<WaitOptions> = { ...CALL, condition: true };
export const STATS: NamesOf<StatsOptions> = { ...CALL, once: true };
export const ATTACH: NamesOf<AttachOptions> = { ...CALL, stdin: true, logs: true, start: true };

export const SPAWN: NamesOf<SpawnOptions> = {
  ...CALL,
  env: true,
  user: true,
  workdir: true,
  tty: true,
  ttySize: true,
  maxOutputBytes: true,
};
export const EXEC: NamesOf<ExecOptions> = { ...SPAWN, stdin: true, check: true };

export const LOGS: NamesOf<LogOptions> = {
  ...CALL,
  follow: true,
  tail: true,
  since: true,
  until: true,
  console: true,
};

export const READ: NamesOf<ReadOptions> = { ...CALL, maxBytes: true };
export const WRITE: NamesOf<WriteOptions> = { ...CALL, mode: true, uid: true, gid: true };
export const COPY: NamesOf<CopyOptions> = { ...CALL, followLink: true, keepOwner: true, onSkip: true };
export const MKDIR: NamesOf<MkdirOptions> = { ...CALL, recursive: true, mode: true, uid: true, gid: true };
export const REMOVE_PATH: NamesOf<RemovePathOptions> = { ...CALL, recursive: true, force: true };
export const RENAME: NamesOf<RenameOptions> = { ...CALL, overwrite: true };
export const WATCH: NamesOf<WatchOptions> = { ...CALL, recursive: true };

export const PULL: NamesOf<PullOptions> = {
  ...CALL,
  platform: true,
  auth: true,
  auths: true,
  plainHttp: true,
  onProgress: true,
};
export const AUTH: NamesOf<RegistryAuth> = { username: true, password: true, identityToken: true };
export const LIST_IMAGES: NamesOf<ListImagesOptions> = { ...CALL, all: true, filter: true };
export const IMPORT_IMAGE: NamesOf<ImportOptions> = { ...CALL, changes: true, message: true, platform: true };
export const REMOVE_IMAGE: NamesOf<RemoveImageOptions> = { ...CALL, force: true };

export const IMPORT_KERNEL: NamesOf<ImportKernelOptions> = {
  ...CALL,
  name: true,
  makeDefault: true,
  modulesDirectory: true,
  onProgress: true,
};
export const BUILD_KERNEL: NamesOf<BuildKernelOptions> = {
  ...CALL,
  version: true,
  architecture: true,
  cache: true,
  jobs: true,
  name: true,
  makeDefault: true,
  onProgress: true,
};
export const REMOVE_KERNEL: NamesOf<RemoveKernelOptions> = { ...CALL, force: true };
