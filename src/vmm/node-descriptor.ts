// The number of a socket's descriptor, which Node tells nowhere but in a field that has no documentation.

import type { Server, Socket } from "node:net";
import { Code, KilnError } from "../base/errors.js";

/** @throws KilnError internal `no-descriptor` for one that is closed */
export function descriptorOf(socket: Server | Socket): number {
  const { _handle: handle } = socket as unknown as { _handle: { fd: number } | null };
  if (handle !== null && handle.fd >= 0) return handle.fd;
  throw new KilnError(Code.Internal, "the socket has no descriptor", { reason: "no-descriptor" });
}
