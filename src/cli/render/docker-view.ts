// VMs and images under the names that `docker inspect` has: for templates, so that scripts written for Docker go on
// working. Only what kiln really has an answer for.

import type { ImageInfo, PortBinding, ProcessInfo, VmInfo, VmState, VolumeInfo } from "../../sdk/index.js";
import { dockerMountConfig, dockerMounts } from "./docker-mounts.js";
import { dockerNetworks } from "./docker-networks.js";
import { familiarImage } from "./names.js";

/** Docker's words for states. It has none for a VM on its way up, or for one that could not be run. */
const STATES: Readonly<Record<VmState, string>> = {
  unspecified: "dead",
  created: "created",
  starting: "created",
  running: "running",
  paused: "paused",
  stopping: "running",
  exited: "exited",
  failed: "exited",
};
/** Go's zero time. */
const NEVER = "0001-01-01T00:00:00Z";

/** @param execs those that run */
export function dockerVm(vm: VmInfo, execs: readonly ProcessInfo[] = []): object {
  const { config, status } = vm;
  const [path = "", ...args] = [...config.entrypoint, ...config.command];
  return {
    Id: vm.id,
    Created: vm.createdAt,
    Path: path,
    Args: args,
    State: dockerState(vm),
    Image: config.imageId,
    Name: vm.name,
    RestartCount: status.restartCount,
    Driver: status.vmm,
    Platform: "linux",
    Mounts: dockerMounts(status),
    ExecIDs: execs.map(({ id }) => id),
    Config: dockerConfig(vm),
    HostConfig: dockerHostConfig(vm),
    NetworkSettings: { ...dockerNetworks(vm), Ports: portMap(status.ports) },
  };
}

function dockerState({ status }: VmInfo): object {
  const word = STATES[status.state];
  return {
    Status: word,
    Running: word === "running" || word === "paused",
    Paused: word === "paused",
    Restarting: false,
    OOMKilled: status.oomKilled,
    Dead: false,
    Pid: status.pid,
    ExitCode: status.exitCode,
    Error: status.state === "failed" ? status.message : "",
    StartedAt: status.startedAt ?? NEVER,
    FinishedAt: status.finishedAt ?? NEVER,
    // kiln has no health checks: as Docker's containers without one, `{{if .State.Health}}` is false.
    Health: undefined,
  };
}

function dockerConfig({ id, config }: VmInfo): object {
  return {
    Hostname: config.hostname || id.slice(0, 12),
    User: config.user,
    Tty: config.tty,
    OpenStdin: config.openStdin,
    Env: config.env,
    Cmd: config.command,
    Entrypoint: config.entrypoint,
    Image: familiarImage(config.image),
    WorkingDir: config.workdir,
    Labels: config.labels,
    StopSignal: config.stopSignal,
    StopTimeout: config.stopTimeoutMs / 1000,
  };
}

function dockerHostConfig({ config }: VmInfo): object {
  return {
    Memory: config.memoryBytes,
    NanoCpus: config.cpus * 1e9,
    RestartPolicy: { Name: config.restart.name, MaximumRetryCount: config.restart.maximumRetryCount },
    AutoRemove: config.autoRemove,
    NetworkMode: config.network === "none" ? (config.networks[0]?.network ?? "none") : config.network,
    PortBindings: portMap(config.publish),
    PublishAllPorts: config.publishAll,
    Dns: config.dns,
    DnsSearch: config.dnsSearch,
    DnsOptions: config.dnsOptions,
    ExtraHosts: config.addHosts,
    ...dockerMountConfig(config),
    Privileged: false,
  };
}

/** {"80/tcp": [{HostIp, HostPort}]}; Docker's ports are texts. */
function portMap(ports: readonly PortBinding[]): Record<string, object[]> {
  const map: Record<string, object[]> = {};
  for (const { hostIp, hostPort, vmPort, protocol } of ports) {
    const key = `${vmPort}/${protocol}`;
    map[key] = [
      ...(map[key] ?? []),
      { HostIp: hostIp || "0.0.0.0", HostPort: hostPort === 0 ? "" : String(hostPort) },
    ];
  }
  return map;
}

export function dockerImage(image: ImageInfo): object {
  const { config } = image;
  const [os = "", architecture = "", variant = ""] = image.platform.split("/");
  return {
    Id: image.id,
    RepoTags: image.names.map(familiarImage),
    RepoDigests: image.digests.map(familiarImage),
    Created: image.createdAt ?? NEVER,
    Architecture: architecture,
    Variant: variant,
    Os: os,
    Size: image.sizeBytes,
    RootFS: { Type: "layers", Layers: image.layers },
    Config: {
      User: config.user,
      Env: config.env,
      Cmd: config.cmd,
      Entrypoint: config.entrypoint,
      WorkingDir: config.workdir,
      Labels: config.labels,
      ExposedPorts: keysOf(config.exposedPorts),
      Volumes: keysOf(config.volumes),
      StopSignal: config.stopSignal,
    },
  };
}

/** As `docker volume inspect` has it. The disk is no directory of the host: there is no mount point to name. */
export function dockerVolume({ name, createdAt, labels, sizeBytes, usedBytes, vms }: VolumeInfo): object {
  return {
    Name: name,
    Driver: "local",
    Scope: "local",
    Mountpoint: "",
    CreatedAt: createdAt ?? NEVER,
    Labels: labels,
    Options: { size: String(sizeBytes) },
    UsageData: { Size: usedBytes, RefCount: vms.length },
  };
}

function keysOf(words: readonly string[]): Record<string, object> {
  return Object.fromEntries(words.map((word) => [word, {}]));
}
