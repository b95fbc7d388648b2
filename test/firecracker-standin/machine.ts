// The machine as QEMU's command line: what the configured microVM is made of.

import type { Body } from "./schema.js";

export interface MachineParts {
  readonly source: Body;
  readonly machine: Body;
  readonly drives: readonly Body[];
  /** Of the drives, by their ids. */
  readonly serials: ReadonlyMap<string, string>;
  readonly nets: readonly Body[];
  readonly hasBalloon: boolean;
  readonly hasEntropy: boolean;
  /** Those of the host's vsock ports that a guest may connect to, each as a serial port. */
  readonly hostPorts: readonly HostPort[];
  readonly sockets: { readonly channel: string; readonly qmp: string; readonly console: string };
  /** Of the time stamp counter, where it is known. */
  readonly khz: number | undefined;
}

/** A vsock port of the host's: what the guest has for it is the serial port `kiln.vsock.NUMBER`. */
export interface HostPort {
  readonly number: number;
  /** Name of the abstract socket behind the serial port. */
  readonly serial: string;
}

/** A name that hangs on no directory. */
const ABSTRACT = ",abstract=on,tight=on";

export const CHANNEL_ID = "channel-port";

/** Before the number: the serial port's id under QEMU. */
export const HOST_PORT_ID = "host-port-";

/** Its id under QEMU. */
export const BALLOON = "balloon0";

/** What setpriv(1) starts: it dies with the one that started it. */
export function planMachine(parts: MachineParts): string[] {
  const { source, machine, drives, serials, nets, hasBalloon, hasEntropy, hostPorts, sockets, khz } = parts;
  const clock = khz === undefined ? "" : ` tsc_early_khz=${khz} tsc=reliable`;
  const line = `${source.boot_args ?? ""} pci=off${clock}`;
  const initrd = typeof source.initrd_path === "string" ? ["-initrd", source.initrd_path] : [];
  const server = (id: string, path: string, how = "") => [
    "-chardev",
    `socket,id=${id},path=${path}${how},server=on,wait=off`,
  ];
  const balloon = `virtio-balloon-device,id=${BALLOON},free-page-reporting=on`;
  return [
    ...["--pdeathsig", "KILL", "--", "qemu-system-x86_64"],
    ...["-M", "microvm,acpi=on", "-accel", "tcg,tb-size=64", "-cpu", "max,erms=off,fsrm=off"],
    ...["-smp", String(machine.vcpu_count), "-m", `${machine.mem_size_mib}M`],
    ...["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-S"],
    ...["-kernel", String(source.kernel_image_path), ...initrd, "-append", line],
    ...[...server("console", sockets.console), "-serial", "chardev:console"],
    ...[...server("qmp", sockets.qmp), "-mon", "chardev=qmp,mode=control"],
    ...[...server("channel", sockets.channel, ABSTRACT), "-device"],
    `virtio-serial-device,max_ports=${2 + hostPorts.length}`,
    ...["-device", `virtserialport,chardev=channel,name=dev.kiln.channel,id=${CHANNEL_ID}`],
    ...hostPorts.flatMap(({ number, serial }) => [
      ...[...server(`p${number}`, serial, ABSTRACT), "-device"],
      `virtserialport,chardev=p${number},name=kiln.vsock.${number},id=${HOST_PORT_ID}${number}`,
    ]),
    ...drives.flatMap((drive) => driveArguments(drive, serials.get(String(drive.drive_id)))),
    ...nets.flatMap(netArguments),
    ...(hasBalloon ? ["-device", balloon] : []),
    ...(hasEntropy ? ["-object", "rng-builtin,id=r", "-device", "virtio-rng-device,rng=r"] : []),
  ];
}

/** locking=off: Firecracker does not lock its disks. */
function driveArguments(drive: Body, serial = ""): string[] {
  const id = String(drive.drive_id);
  const readOnly = drive.is_read_only === true;
  const node = {
    driver: "raw",
    "node-name": id,
    "read-only": readOnly,
    file: { driver: "file", filename: drive.path_on_host, locking: "off", "read-only": readOnly },
  };
  return ["-blockdev", JSON.stringify(node), "-device", `virtio-blk-device,drive=${id},serial=${serial}`];
}

function netArguments(net: Body, index: number): string[] {
  const mac = typeof net.guest_mac === "string" ? `,mac=${net.guest_mac}` : "";
  return [
    ...["-netdev", `tap,id=n${index},ifname=${net.host_dev_name},script=no,downscript=no`],
    ...["-device", `virtio-net-device,netdev=n${index}${mac}`],
  ];
}
