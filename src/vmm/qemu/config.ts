// QEMU's command line for one VM. Pure: host facts in, words out. Every choice that is not obvious says which failure
// it prevents; the figures are in docs/design/0006-vmm-drivers.md.

import { hasCard, tapDescriptor } from "../cards.js";
import { FIRST_DESCRIPTOR, type JailFile, type OpenedFile } from "../jail/plan.js";
import { GUEST_WORDS, joinCommandLine } from "../kernel-command-line.js";
import { socketPath } from "../socket-path.js";
import type { Accelerator, CardSpec, VmmSpec } from "../types.js";
import { boundOf, disksArguments, openedOf, placeDisks } from "./disks.js";
import { SLOT_WORDS, slotArguments } from "./hot-cards.js";
import { listenerOf, maxPortsOf, portArguments } from "./ports.js";

/** The name of the channel's port: /sys/class/virtio-ports/<port>/name in the guest. */
const CHANNEL_PORT_NAME = "dev.kiln.channel";

export const MAX_VCPUS = 64;

const MIB = 1024 * 1024;

/**
 * Software emulation moves `rep movsb` byte by byte. A processor that does not boast of fast strings lets the guest's
 * kernel and C library move words: pipes and /dev/zero are 5 to 7 times, page faults 2 times as fast.
 */
const EMULATED_CPU = "max,erms=off,fsrm=off";

/** What the plan needs to know of the host. */
export interface QemuHost {
  readonly accelerator: Accelerator;
  /** kHz of the host's time stamp counter; undefined where unknown. */
  readonly tscKhz: number | undefined;
}

export interface QemuSockets {
  readonly qmp: string;
  readonly console: string;
  readonly channel: string;
  /** The other end of the card of the user network, where there is one. */
  readonly net: string;
}

export interface QemuPlan {
  readonly files: readonly JailFile[];
  /** Listening sockets that QEMU inherits, in the order of their descriptors. */
  readonly listeners: readonly string[];
  /** Block devices that it inherits behind them. */
  readonly opened: readonly OpenedFile[];
  readonly sockets: QemuSockets;
  /** QEMU's own words. @param at where QEMU finds a file */
  readonly command: (program: string, at: (file: JailFile) => string) => readonly string[];
}

/** All listen before QEMU runs: their names are kilnd's, and QEMU has descriptors. */
const NAMES: QemuSockets = {
  qmp: "qmp.sock",
  console: "console.sock",
  channel: "channel.sock",
  net: "net.sock",
};

/** @throws KilnError invalid_argument for a spec that this machine cannot have */
export function planQemu(spec: VmmSpec, host: QemuHost): QemuPlan {
  const kernel = { path: spec.kernel, at: "/vmlinux", writable: false, what: "kernel" };
  const initrd = { path: spec.initrd, at: "/initrd", writable: false, what: "initramfs" };
  const disks = placeDisks(spec.disks);
  const listeners = [
    ...[NAMES.qmp, NAMES.console, NAMES.channel, ...(hasCard(spec, "stream") ? [NAMES.net] : [])],
    ...spec.ports.map(listenerOf),
  ];
  const fd = (name: string) => FIRST_DESCRIPTOR + listeners.indexOf(name);
  return {
    files: [kernel, initrd, ...boundOf(disks).map(({ file }) => file)],
    listeners,
    opened: openedOf(disks).map(({ file }) => file),
    sockets: planSockets(spec.runDirectory),
    command: (program, at) => [
      program,
      ...machineArguments(spec, host),
      ...["-kernel", at(kernel), "-initrd", at(initrd), ...appendArguments(spec, host)],
      ...controlArguments(fd, maxPortsOf(spec.ports)),
      ...spec.ports.flatMap((port) => portArguments(port, fd(listenerOf(port)))),
      ...disksArguments(disks, { at, inherited: listeners.length, hotplug: spec.hotplug === true }),
      ...deviceArguments(),
      ...(spec.hotplugCards === true ? slotArguments() : []),
      ...spec.cards.flatMap((card) =>
        cardArguments(card, card.backend.kind === "stream" ? fd(NAMES.net) : tapDescriptor(spec, card)),
      ),
      // The shared library's spawn=deny kills QEMU on any exec: nothing that we use needs one.
      ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ],
  };
}

export function planSockets(runDirectory: string): QemuSockets {
  return {
    qmp: socketPath(runDirectory, NAMES.qmp),
    console: socketPath(runDirectory, NAMES.console),
    channel: socketPath(runDirectory, NAMES.channel),
    net: socketPath(runDirectory, NAMES.net),
  };
}

/** Of QEMU beside the guest's memory: code, its buffers, and what TCG has translated. */
export function overheadBytes(spec: VmmSpec): number {
  return (256 + translationMib(spec)) * MIB;
}

const translationMib = (spec: VmmSpec): number => Math.max(64, 16 * spec.vcpus);

function machineArguments(spec: VmmSpec, host: QemuHost): string[] {
  const pcie = spec.hotplugCards === true ? "on" : "off";
  return [
    ...["-name", `guest=kiln-${spec.vmId.slice(0, 12)}`],
    // acpi=on: Debian's kernel finds virtio-mmio devices by ACPI only. mem-merge=off: KSM leaks between guests.
    ...["-M", `microvm,acpi=on,pcie=${pcie},usb=off,x-option-roms=off,mem-merge=off,dump-guest-core=off`],
    ...["-accel", acceleratorOption(spec, host.accelerator)],
    ...["-cpu", host.accelerator === "kvm" ? "host" : EMULATED_CPU],
    ...["-smp", `cpus=${spec.vcpus}`],
    ...["-m", `${Math.floor(spec.memoryBytes / MIB)}M`],
    // -S: not one guest instruction before the console is read and the network is there.
    ...["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-S"],
  ];
}

/**
 * The translation cache is touched as it fills (42 MiB by a Debian boot) and would grow to 1 GiB; 64 MiB bounds it
 * without a flush in a boot, 8 MiB doubles the boot's time. Each vCPU fills regions of its own.
 */
function acceleratorOption(spec: VmmSpec, accelerator: Accelerator): string {
  return accelerator === "kvm" ? "kvm" : `tcg,thread=multi,tb-size=${translationMib(spec)}`;
}

function appendArguments(spec: VmmSpec, host: QemuHost): string[] {
  const slots = spec.hotplugCards === true ? SLOT_WORDS : [];
  const words = ["console=ttyS0", "reboot=t", ...GUEST_WORDS, ...slots];
  if (host.accelerator === "tcg" && host.tscKhz !== undefined) {
    // microvm has neither PM timer nor HPET: a guest that misses the PIT calibration on a busy host hangs for ever.
    words.push(`tsc_early_khz=${host.tscKhz}`, "tsc=reliable");
  }
  return ["-append", joinCommandLine(words, spec.kernelArgs)];
}

function controlArguments(fd: (name: string) => number, maxPorts: number): string[] {
  const chardev = (id: string, name: string) => [
    "-chardev",
    `socket,id=${id},fd=${fd(name)},server=on,wait=off`,
  ];
  return [
    ...chardev("console", NAMES.console),
    ...["-serial", "chardev:console"],
    ...chardev("channel", NAMES.channel),
    ...["-device", `virtio-serial-device,max_ports=${maxPorts}`],
    // Without an id QEMU tells nobody that the guest opened or closed the port.
    ...["-device", `virtserialport,chardev=channel,name=${CHANNEL_PORT_NAME},id=channel-port`],
    ...chardev("qmp", NAMES.qmp),
    ...["-mon", "chardev=qmp,mode=control"],
  ];
}

function deviceArguments(): string[] {
  return [
    ...["-object", "rng-builtin,id=rng", "-device", "virtio-rng-device,rng=rng"],
    ...["-device", "virtio-balloon-device,id=balloon,free-page-reporting=on,deflate-on-oom=on"],
    // Tells a panic from a reboot, where the guest has the driver.
    ...["-device", "pvpanic"],
  ];
}

/**
 * Of a stream QEMU is the server: the client may die, and a new one connects. A tap is read and written by QEMU itself
 * (vhost=off: /dev/vhost-net is more of the kernel than a jail shows); what it can of offloads QEMU asks it.
 */
function cardArguments({ id, mac, backend }: CardSpec, fd: number): string[] {
  const netdev =
    backend.kind === "stream"
      ? // By the first word recall.ts knows a card of ours.
        `stream,id=${id},server=on,addr.type=fd,addr.str=${fd}`
      : `tap,id=${id},fd=${fd},vhost=off`;
  return [...["-netdev", netdev], ...["-device", `virtio-net-device,netdev=${id},mac=${mac}`]];
}
