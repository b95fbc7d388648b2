// Every setting of kilnd, once: from this table come the flags, the environment's names, the keys of config.toml, the
// help, and what `kiln info` says of each one's origin. A setting `disk.reserve` is the flag --disk-reserve, the
// variable KILN_DISK_RESERVE, and the key `reserve` of [disk].

import { isAbsolute } from "node:path";
import { parseEgress } from "../base/egress.js";
import { Code, KilnError } from "../base/errors.js";
import { parseDuration, parseSize } from "../base/units.js";
import { parseNetworkPools } from "../engine/index.js";

export interface SettingSpec {
  readonly name: string;
  readonly help: string;
  /** Shown in the help; the value itself may depend on the host. */
  readonly byDefault: string;
  /** @throws KilnError invalid_argument for a text that is no value */
  readonly check: (text: string) => void;
}

function text(name: string, help: string, byDefault: string): SettingSpec {
  return { name, help, byDefault, check: () => undefined };
}

function size(name: string, help: string, byDefault: string): SettingSpec {
  return { name, help, byDefault, check: (value) => void parseSize(value, name) };
}

/** Some are added up, and Node's timers take more than 24 days for one millisecond. */
const LONGEST_MS = 7 * 24 * 3_600_000;

function duration(name: string, help: string, byDefault: string): SettingSpec {
  const check = (value: string) => {
    if (parseDuration(value, name) > LONGEST_MS) throw badSetting(name, value, "7d is the most");
  };
  return { name, help, byDefault, check };
}

function count(name: string, help: string, byDefault: string): SettingSpec {
  return { name, help, byDefault, check: (value) => void parseCount(name, value) };
}

function word(name: string, help: string, words: readonly [string, ...string[]]): SettingSpec {
  const check = (value: string) => {
    if (!words.includes(value)) throw badSetting(name, value, `choose one of ${words.join(", ")}`);
  };
  return { name, help: `${help}: ${words.join(", ")}`, byDefault: words[0], check };
}

/** Where containers' engines look, and Debian's and Fedora's packages put theirs. */
export const CNI_CONFIGS = "/etc/cni/net.d";
export const CNI_PLUGINS = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";

export const SETTINGS = [
  text("socket", "the API's unix socket", "kiln.sock in the run root"),
  text("data-root", "images, bases, VMs, kernels", "/var/lib/kiln, or XDG's place"),
  text("run-root", "sockets of running VMs", "/run/kiln, or XDG's place"),
  {
    name: "cri",
    help: "unix socket, for root alone, where Kubernetes finds kiln's images (CRI); pods don't run yet",
    byDefault: "none",
    check: (value) => void parseSocket("cri", value),
  },
  text("group", "group that may use the socket, where kilnd is root", "kiln"),
  word("log.level", "least important lines to write", ["info", "debug", "warn", "error"]),
  word("log.format", "form of the lines", ["logfmt", "json"]),
  text("vmm", "VMM for VMs that name none: firecracker, qemu, qemu-kvm or qemu-tcg", "the best that works"),
  text("qemu", "QEMU's program", "qemu-system-x86_64"),
  text("firecracker", "Firecracker's program", "firecracker"),
  text("jailer", "Firecracker's own jailer, for a kilnd of root, in place of kiln's jail", "none"),
  text(
    "firecracker-files",
    "directories, with colons between, that Firecracker's jail shows besides the host's programs",
    "none",
  ),
  word("trust-firecracker", "take Firecracker without a test boot of KVM", ["no", "yes"]),
  text("agent", "the guest agent's program", "of this package"),
  text("netguard", "the library that keeps guests off the host's loopback", "of this package"),
  text("share-server", "the program that serves shared directories", "of this package"),
  text(
    "vm.user-registry",
    "directory that says which VM has which user, the same for every kilnd of root on this host",
    "/var/lib/kiln-host/users",
  ),
  text(
    "passt",
    "passt's program, of August 2024 or newer",
    "of this package, else the first good one in PATH",
  ),
  text("bwrap", "bubblewrap's program, which makes the jails of VMMs", "bwrap"),
  word("allow-unconfined", "run VMMs without a jail where this host can make none, instead of refusing", [
    "no",
    "yes",
  ]),
  text(
    "vm.cgroup",
    "cgroup (version 2) in which VMs get theirs, from the hierarchy's root or relative to kilnd's own",
    "kilnd's own where it is no service",
  ),
  word("vm.users", "who VMMs run as where kilnd is root: a user per VM, or root", ["per-vm", "root"]),
  {
    name: "network-pool",
    help: "IPv4 ranges, with commas between, of which networks that name no subnet are given a /24 each",
    byDefault: "10.89.0.0/16",
    check: (value) => void parseNetworkPools(value),
  },
  {
    name: "egress",
    help: "what of the world outside VMs may reach whose makers name no --egress: all, none, or [dns,]CIDR[:PORT[/PROTO]],...",
    byDefault: "all",
    check: (value) => void parseEgress(value),
  },
  text(
    "cni-configs",
    "directories, with colons between, of the CNI networks that VMs may have",
    `${CNI_CONFIGS}; an ordinary user's ~/.config/cni/net.d before`,
  ),
  text("cni-plugins", "directories, with colons between, of their plugins", CNI_PLUGINS),
  text(
    "cni-alone",
    "names, with commas between, of CNI networks that only this kilnd uses: all that it does not know there is removed (CNI 1.1)",
    "none",
  ),
  size("disk.reserve", "disk space that nothing new is made of", "512m"),
  size("memory.reserve", "memory that stays available when a VM starts", "128m"),
  count("boot.concurrent", "VMs that boot at the same time", "one per CPU, at least 2"),
  duration(
    "boot.hello-timeout",
    "what a guest may take until its agent says hello",
    "15s with KVM, 60s without",
  ),
  duration("boot.silence-timeout", "what a guest's console may stay silent", "5s with KVM, 15s without"),
  size("output.segment", "size of one file of a VM's output", "8m"),
  size("output.keep", "output kept for each VM", "64m"),
  size("output.exec-keep", "output kept for each program that `kiln exec -d` has started", "16m"),
  duration("pull.answer-timeout", "what a registry may take to answer", "60s"),
  duration("pull.stall-timeout", "how long a download may bring nothing", "30s"),
  count("pull.attempts", "tries of a request, or of a layer that makes no progress", "5"),
  count("pull.concurrent-layers", "layers of one image that are fetched at the same time", "4"),
  size("layers.max-layer", "uncompressed size of one layer", "64g"),
  size("layers.max-image", "uncompressed size of all layers of an image", "128g"),
  count("layers.max-ratio", "uncompressed bytes for each compressed one", "200"),
  size("layers.ratio-free", "size that a layer may have whatever its ratio", "2g"),
  count("layers.max-entries", "files of all layers of an image", "2000000"),
  size("layers.max-metadata", "names and attributes that a merge keeps in memory", "512m"),
] as const satisfies readonly SettingSpec[];

export type SettingName = (typeof SETTINGS)[number]["name"];

export function flagOf(name: string): string {
  return `--${name.replaceAll(".", "-")}`;
}

export function variableOf(name: string): string {
  return `KILN_${name.replaceAll(/[.-]/g, "_").toUpperCase()}`;
}

/** A whole number from 1 on. @throws KilnError invalid_argument `bad-setting` */
export function parseCount(name: string, value: string): number {
  const number = Number(value);
  if (/^[0-9]+$/.test(value) && Number.isSafeInteger(number) && number > 0) return number;
  throw badSetting(name, value, "give a whole number from 1 on");
}

/** An absolute path; "none" is none. @throws KilnError invalid_argument `bad-setting` */
export function parseSocket(name: string, value: string): string | undefined {
  if (value === "" || value === "none") return undefined;
  if (isAbsolute(value)) return value;
  throw badSetting(name, value, "give an absolute path, as /run/kiln/cri.sock, or none");
}

function badSetting(name: string, value: string, hint: string): KilnError {
  return new KilnError(Code.InvalidArgument, `"${value}" is no value for ${name}`, {
    reason: "bad-setting",
    hint,
  });
}
