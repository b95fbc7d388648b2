// The flags that `run` and `create` share, and what they ask of a VM.

import { parseSysctl, parseUlimit } from "../base/limits.js";
import { parseMountFlag } from "../base/mount-flag.js";
import { parseDiskSize, parseDuration, parseSize } from "../base/units.js";
import { parseVolumeFlag } from "../base/volume-flag.js";
import type { VmOptions } from "../sdk/index.js";
import type { Context } from "./context.js";
import { collectEnv } from "./env-file.js";
import { bool, type FlagValues, list, text } from "./flags.js";
import {
  addressFlags,
  dnsFlags,
  egressFlag,
  macFlag,
  networkFlags,
  networkOptions,
  publishModeFlag,
} from "./network-flags.js";
import { parseRestart, VM_POLICIES } from "./parse-restart.js";
import { progressFlag } from "./render/progress.js";
import { terminalSize } from "./terminal.js";
import { usageError } from "./usage-error.js";

/** Docker's names and letters where Docker has the thing. */
export const runFlags = {
  "add-host": list("NAME:ADDRESS", "Add a line to the guest's /etc/hosts"),
  cidfile: text("FILE", "Write the VM's id to a new file", { complete: "file" }),
  cpus: text("N", "CPUs, whole ones", { fallback: "1" }),
  disk: text("SIZE", "Size of the root disk; it takes only what is written", { fallback: "64g" }),
  ...dnsFlags,
  egress: egressFlag,
  entrypoint: text("PROGRAM", 'Replace the image\'s ENTRYPOINT; "" empties it'),
  env: list("NAME=VALUE", "Set a variable; NAME alone takes yours, or takes it away where you have none", {
    short: "e",
  }),
  "env-file": list("FILE", "Set the variables of a file", { complete: "file" }),
  hostname: text("NAME", "Host name of the guest", { short: "h", fallback: "the short id" }),
  init: text(
    "MODE",
    "What is PID 1: kiln's agent, beside the image's program, or an init of the image's own",
    {
      choices: ["auto", "app", "system"],
      fallback: "auto",
    },
  ),
  interactive: bool("Keep the program's stdin open, and give it ours", { short: "i" }),
  ...addressFlags,
  kernel: text("KERNEL", "Kernel to boot", { complete: "kernel", fallback: "the default kernel" }),
  "kernel-args": list("ARGS", "Add to the kernel's command line"),
  label: list("NAME=VALUE", "Label the VM", { short: "l" }),
  lifetime: text("DURATION", "Stop the VM this long after its start: 90s, 10m, 2h", { fallback: "none" }),
  "mac-address": macFlag,
  memory: text("SIZE", "Memory of the VM", { short: "m", fallback: "512m" }),
  mount: list("WORDS", "Mount: type=volume|bind|tmpfs|image|device,source=...,target=/path[,readonly]", {
    complete: "mount-flag",
  }),
  name: text("NAME", "Name of the VM", { fallback: "two words" }),
  ...networkFlags,
  platform: text("OS/ARCH[/VARIANT]", "Platform of the image", { fallback: "the host's" }),
  progress: progressFlag,
  publish: list("[IP:][HOST:]VM[/udp]", "Publish a port, or a range of them", { short: "p" }),
  "publish-all": bool("Publish every port that the image exposes", { short: "P" }),
  "publish-mode": publishModeFlag,
  pull: text("WHEN", "When to pull the image", {
    choices: ["missing", "always", "never"],
    fallback: "missing",
  }),
  quiet: bool("Show no progress", { short: "q" }),
  "read-only": bool("Let nobody write to the VM's root; --tmpfs and -v make places where one can"),
  restart: text("POLICY", "What to do when the program ends: no, on-failure[:N], always, unless-stopped", {
    fallback: "no",
  }),
  rm: bool("Remove the VM when it ends"),
  "shm-size": text("SIZE", "Size of /dev/shm", { fallback: "half of the memory" }),
  "stop-signal": text("SIGNAL", "Signal that asks the program to end", {
    fallback: "the image's, or SIGTERM",
  }),
  "stop-timeout": text("SECONDS", "Time to end before it is killed", { fallback: "10" }),
  sysctl: list("NAME=VALUE", "Set a setting of the VM's kernel"),
  tmpfs: list("PATH[:OPTIONS]", "Mount a file system in memory: size=64m, mode=755, uid=, gid=, noexec, ro", {
    complete: "tmpfs-flag",
  }),
  tty: bool("Run the program on a terminal", { short: "t" }),
  ulimit: list("NAME=SOFT[:HARD]", "Limit what programs in the VM may have; -1: unlimited"),
  user: text("USER[:GROUP]", "User of the program, by name or number", {
    short: "u",
    fallback: "the image's",
  }),
  vmm: text("VMM", "Hypervisor", {
    choices: ["qemu", "firecracker"],
    fallback: "the best that works; see kiln info",
  }),
  volume: list(
    "[SOURCE:]PATH[:OPTIONS]",
    "Mount a volume (NAME), a host directory or file (/p, ./p), a block device (/dev/X), or, of PATH alone, a volume of the VM's own",
    { short: "v", complete: "volume-flag" },
  ),
  workdir: text("DIR", "Working directory of the program", { short: "w", fallback: "the image's" }),
} as const;

/** What parsing them gives. */
export type RunFlagValues = FlagValues<typeof runFlags>;

/** The SDK's options of these flags. @throws KilnError invalid_argument */
export async function vmOptionsOf(
  context: Context,
  verb: string,
  flags: RunFlagValues,
  command: readonly string[],
): Promise<VmOptions> {
  if (flags.rm && flags.restart !== undefined && flags.restart !== "no") {
    throw usageError(verb, "--rm and --restart exclude each other: a VM that is removed cannot be restarted");
  }
  return {
    name: flags.name,
    command: command.length === 0 ? undefined : command,
    entrypoint:
      flags.entrypoint === undefined ? undefined : flags.entrypoint === "" ? [] : [flags.entrypoint],
    env: await collectEnv(flags.env, flags["env-file"], context.env),
    workdir: flags.workdir,
    user: flags.user,
    hostname: flags.hostname,
    labels: Object.fromEntries(flags.label.map(parseLabel)),
    publish: flags.publish,
    publishAll: flags["publish-all"],
    addHosts: flags["add-host"].map(parseAddHost),
    ...networkOptions(verb, flags),
    platform: flags.platform,
    pull: flags.pull as VmOptions["pull"],
    restart: flags.restart === undefined ? undefined : parseRestart(verb, flags.restart, VM_POLICIES),
    stopSignal: flags["stop-signal"],
    stopTimeoutMs:
      flags["stop-timeout"] === undefined
        ? undefined
        : parseDuration(flags["stop-timeout"], "--stop-timeout"),
    tty: flags.tty,
    ttySize: flags.tty ? terminalSize(context.stdout) : undefined,
    openStdin: flags.interactive,
    autoRemove: flags.rm,
    lifetimeMs: flags.lifetime === undefined ? undefined : parseDuration(flags.lifetime, "--lifetime"),
    ...machineOptions(verb, flags),
    ...fileOptions(context, flags),
  };
}

/** What it is given of the host's files, and what bounds its programs. */
function fileOptions({ cwd, env }: Context, flags: RunFlagValues): Partial<VmOptions> {
  const facts = { cwd, home: env.HOME };
  const mounts = [
    ...flags.volume.map((text) => parseVolumeFlag(text, facts)),
    ...flags.mount.map((text) => parseMountFlag(text, facts)),
  ];
  return {
    mounts: mounts.length === 0 ? undefined : mounts,
    tmpfs: flags.tmpfs.length === 0 ? undefined : flags.tmpfs,
    readOnlyRoot: flags["read-only"] || undefined,
    shmSize: flags["shm-size"] === undefined ? undefined : parseSize(flags["shm-size"], "--shm-size"),
    ulimits: flags.ulimit.length === 0 ? undefined : flags.ulimit.map(parseUlimit),
    sysctls: flags.sysctl.length === 0 ? undefined : Object.fromEntries(flags.sysctl.map(parseSysctl)),
  };
}

/** The machine itself. */
function machineOptions(verb: string, flags: RunFlagValues): Partial<VmOptions> {
  return {
    cpus: flags.cpus === undefined ? undefined : parseCpus(verb, flags.cpus),
    memory: flags.memory === undefined ? undefined : parseSize(flags.memory, "--memory"),
    disk: flags.disk === undefined ? undefined : parseDiskSize(flags.disk, "--disk"),
    kernel: flags.kernel,
    kernelArgs: flags["kernel-args"].flatMap((args) => args.split(/\s+/).filter((arg) => arg !== "")),
    init: flags.init as VmOptions["init"],
    vmm: flags.vmm as VmOptions["vmm"],
  };
}

function parseCpus(verb: string, value: string): number {
  const cpus = Number(value);
  if (value.trim() !== "" && Number.isFinite(cpus) && cpus > 0) return cpus;
  throw usageError(verb, `--cpus takes a number above 0, not "${value}"`);
}

/** "a=b", "a" (empty value), "a=b=c". */
function parseLabel(label: string): [string, string] {
  const equals = label.indexOf("=");
  const name = equals < 0 ? label : label.slice(0, equals);
  if (name === "") throw usageError("", `--label "${label}" has no name`);
  return [name, equals < 0 ? "" : label.slice(equals + 1)];
}

/** "db:10.0.0.1", or Docker's newer "db=10.0.0.1"; IPv6 in either. */
function parseAddHost(entry: string): string {
  const match = /^([^:=]+)[:=]\[?([^\]]+)\]?$/.exec(entry);
  if (match === null) throw usageError("", `--add-host "${entry}" is not NAME:ADDRESS`);
  return `${match[1]}:${match[2]}`;
}
