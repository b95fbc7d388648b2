// A VM's ports on QEMU: further ports of the channel's virtio-serial device, each with a socket of its own that listens
// before QEMU runs. Pure.

import { socketPath } from "../socket-path.js";
import type { PortSpec, VmmPort } from "../types.js";

/** The channel's, and number 0, which virtio keeps for a console. */
const OTHER_PORTS = 2;

/** By which the guest finds it: /sys/class/virtio-ports/<port>/name. */
const NAME = "kiln.port.";

export function maxPortsOf(ports: readonly PortSpec[]): number {
  return OTHER_PORTS + ports.length;
}

/** Of its listening socket, in the VM's run directory. */
export function listenerOf({ id }: PortSpec): string {
  return `port-${id}.sock`;
}

/** @throws KilnError `socket-path-too-long` */
export function planPorts(runDirectory: string, ports: readonly PortSpec[]): ReadonlyMap<string, VmmPort> {
  const planned = ports.map((port) => {
    const socket = socketPath(runDirectory, listenerOf(port));
    return [port.id, { kind: "connect", socket, guest: { port: `${NAME}${port.id}` } }] as const;
  });
  return new Map(planned);
}

/** @param fd of the port's listening socket */
export function portArguments({ id }: PortSpec, fd: number): string[] {
  return [
    ...["-chardev", `socket,id=port-${id},fd=${fd},server=on,wait=off`],
    ...["-device", `virtserialport,chardev=port-${id},name=${NAME}${id},id=port-${id}`],
  ];
}

/** The ports of a QEMU whose record is lost, by its command line. */
export function portsOnCommandLine(cmdline: string): readonly PortSpec[] {
  const words = cmdline.matchAll(
    /\0-device\0virtserialport,[^\0]*,name=kiln\.port\.([a-z0-9]{1,20})(?=[,\0])/g,
  );
  return [...words].map(([, id = ""]) => ({ id }));
}
