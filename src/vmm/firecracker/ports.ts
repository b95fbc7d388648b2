// A VM's ports on Firecracker: the guest connects to a vsock port of the host's, for which Firecracker connects to the socket
// `<its vsock's path>_<port>`. That is in the directory of the VM's user, where kilnd opens nothing by name: so there is a
// link there, made before the VMM runs, into a directory that only kilnd writes. Whoever replaces the link leads the VMM
// astray and nobody else.

import { join } from "node:path";
import { socketPath } from "../socket-path.js";
import type { PortSpec, VmmPort } from "../types.js";

/** In the run directory, and in the jail. */
export const PORTS = "p";

/** Of the order of the ports: Firecracker knows nothing of them, so nothing else says which is which. */
const FIRST_PORT = 1100;

/** @throws KilnError `socket-path-too-long` */
export function planPorts(runDirectory: string, ports: readonly PortSpec[]): ReadonlyMap<string, VmmPort> {
  const directory = join(runDirectory, PORTS);
  const planned = ports.map(({ id }, index) => {
    const vsock = FIRST_PORT + index;
    return [id, { kind: "listen", socket: socketPath(directory, String(vsock)), guest: { vsock } }] as const;
  });
  return new Map(planned);
}

/** @param vsock path of the vsock's socket @param directory as the VMM sees it */
export function planLinks(
  ports: readonly PortSpec[],
  vsock: string,
  directory: string,
): readonly { readonly path: string; readonly target: string }[] {
  return ports.map((_, index) => {
    const port = FIRST_PORT + index;
    return { path: `${vsock}_${port}`, target: `${directory}/${port}` };
  });
}
