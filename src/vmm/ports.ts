// A VM's ports: which of them no machine can have, what a record keeps of them for a later kilnd, and the socket of one at
// which the host listens.

import { chmod, chown } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import { type ListeningSocket, listenAt } from "./listening-socket.js";
import type { PortSpec, ReattachSpec, VmmCapabilities, VmmPort, VmmRecord, VmmSpec } from "./types.js";

/** Of virtio-serial each is two queues more in the guest's memory, and a socket in the VMM. */
export const MAX_PORTS = 32;

/** Of a VM that has none. */
export const NO_PORTS: ReadonlyMap<string, VmmPort> = new Map();

const ID = /^[a-z0-9]{1,20}$/;

/** @throws KilnError invalid_argument `too-many-ports`, `bad-port-id`; failed_precondition `no-ports` */
export function checkPorts({ ports }: Pick<VmmSpec, "ports">, { maxPorts = 0 }: VmmCapabilities): void {
  if (ports.length === 0) return;
  if (maxPorts === 0) {
    throw new KilnError(Code.FailedPrecondition, "this VMM has no ports beside the agent's channel", {
      reason: "no-ports",
      hint: "start kilnd without --jailer: kiln's own jail has them",
    });
  }
  if (ports.length > maxPorts)
    throw refused("too-many-ports", `${ports.length} ports: this VMM takes ${maxPorts}`);
  for (const { id } of ports)
    if (!ID.test(id)) throw refused("bad-port-id", `a port with the id ${JSON.stringify(id)}`);
  if (new Set(ports.map(({ id }) => id)).size !== ports.length)
    throw refused("bad-port-id", "two ports with the same id");
}

function refused(reason: string, what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the VM cannot have ${what}`, { reason });
}

/** Among a driver's facts: the ids in their order. Records of before, and of VMs without ports, have none. */
const FACT = "ports";

export function portFacts(ports: readonly PortSpec[]): Readonly<Record<string, string>> {
  return ports.length === 0 ? {} : { [FACT]: ports.map(({ id }) => id).join(",") };
}

/** Those that a VM which runs was launched with. What is not as we write it is left out: the VM is worth more than it. */
export function recordedPorts({ facts }: Pick<VmmRecord, "facts">, spec: ReattachSpec): readonly PortSpec[] {
  const text = facts[FACT];
  if (text === undefined) return isLost(facts) ? (spec.ports ?? []) : [];
  const ids = text.split(",");
  return ids.length <= MAX_PORTS && ids.every((id) => ID.test(id)) ? ids.map((id) => ({ id })) : [];
}

/** Every launch records where its console's log is. */
const isLost = (facts: VmmRecord["facts"]): boolean => facts.consoleLog === undefined;

/**
 * Listens for a guest's streams at a port of the kind "listen". Whatever listened there before gets no more of them.
 *
 * @param owner the user that the VMM runs as (`VmmSpec.runAs`): nobody else can connect
 */
export async function listenForGuest(
  { socket }: Pick<VmmPort, "socket">,
  owner?: VmmSpec["runAs"],
): Promise<ListeningSocket> {
  const listening = await listenAt(socket);
  try {
    // By its name, since no call changes a socket's owner by the descriptor that listens; nobody else writes there.
    await chmod(socket, 0o600);
    if (owner !== undefined) await chown(socket, owner.uid, owner.gid);
    return listening;
  } catch (error) {
    listening.close();
    throw KilnError.from(error, `listen at ${socket}`);
  }
}
