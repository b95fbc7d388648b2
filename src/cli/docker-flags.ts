// Flags of `docker run` that kiln does not have, each with the reason: silently ignoring one would be a lie, and
// "unknown flag" no help.

const OWN_KERNEL =
  "a VM has a kernel of its own, so the guest's root already has every right inside and none outside";
const VM_SIZE = "a VM is sized as a whole: use --cpus and -m";
const OWN_SPACE = "a VM shares no namespaces with the host or with other VMs";
const HEALTH = "kiln has no health checks yet; use `kiln exec` from outside";
const NETWORK = "put both VMs on one network with --network: there they find each other by name";
const LOGS = "kiln keeps the output itself; read it with `kiln logs`";

const REASONS: Readonly<Record<string, string>> = {
  privileged: OWN_KERNEL,
  "cap-add": OWN_KERNEL,
  "cap-drop": "run the program as another user with -u; inside the VM root is root",
  "security-opt": OWN_KERNEL,
  userns: OWN_KERNEL,
  "volumes-from": "name each volume with -v, for one VM that writes or for many with :ro",
  "volume-driver": "every volume of kiln is a disk on this host",
  device: "a block device goes with -v /dev/X:/dev/X; other devices of the host are not passed through",
  gpus: "devices of the host are not passed through",
  "device-cgroup-rule": "devices of the host are not passed through",
  pid: OWN_SPACE,
  ipc: OWN_SPACE,
  uts: OWN_SPACE,
  cgroupns: OWN_SPACE,
  "cgroup-parent": "the VMM's cgroup is kilnd's affair",
  "cpu-shares": VM_SIZE,
  "-c": VM_SIZE,
  "cpu-period": VM_SIZE,
  "cpu-quota": VM_SIZE,
  "cpuset-cpus": VM_SIZE,
  "cpuset-mems": VM_SIZE,
  "memory-swap": "a VM has no swap of the host; its memory is -m",
  "memory-swappiness": VM_SIZE,
  "memory-reservation": VM_SIZE,
  "kernel-memory": VM_SIZE,
  "oom-kill-disable": "the guest's own kernel decides when its memory is used up",
  "oom-score-adj": "the guest's own kernel decides when its memory is used up",
  "pids-limit": "the guest's own kernel bounds its processes",
  "blkio-weight": VM_SIZE,
  "storage-opt": "use --disk SIZE",
  link: NETWORK,
  expose: "every port of a VM can be published; see -p",
  "health-cmd": HEALTH,
  "health-interval": HEALTH,
  "health-retries": HEALTH,
  "health-timeout": HEALTH,
  "health-start-period": HEALTH,
  "no-healthcheck": HEALTH,
  "log-driver": LOGS,
  "log-opt": LOGS,
  runtime: "there is one runtime, a VM; see --vmm",
  isolation: "every VM is isolated by its own kernel; see --vmm",
  attach: "run attaches to stdout and stderr unless -d is given; add -i for stdin",
  "-a": "run attaches to stdout and stderr unless -d is given; add -i for stdin",
  "disable-content-trust": "images are checked by digest; signatures are not looked at",
  domainname: "use --hostname",
  "group-add": "use -u USER:GROUP",
};

/** Why kiln lacks a flag of Docker's; undefined for one that Docker lacks too. @param name "privileged", or "-v" */
export function explainFlag(name: string): string | undefined {
  return Object.hasOwn(REASONS, name) ? REASONS[name] : undefined;
}
