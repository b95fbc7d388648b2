// A published port: a listener on the host whose connections and datagrams go through a dial into the guest. Works
// with every VMM and without a guest network, because the agent does the last step.

import { Code, errnoOf, KilnError } from "../base/errors.js";
import { formatHostPort, formatPortMapping, type PortMapping } from "../base/ports.js";
import { publishTcp } from "./tcp-listener.js";
import type { GuestDial, PublishedPort, PublishLimits } from "./types.js";
import { publishUdp } from "./udp-listener.js";

export const DEFAULT_LIMITS: PublishLimits = {
  maxConnections: 512,
  maxFlows: 192,
  flowIdleMs: 90_000,
  dialTimeoutMs: 15_000,
};

/**
 * Binds the host's side at once; the guest is dialled per connection, so it may come and go. Of a range it is the first
 * port that is free.
 *
 * @throws KilnError: already_exists `port-in-use`, permission_denied `privileged-port`, invalid_argument
 * `address-not-here`; all name the address
 */
export async function publishPort(
  mapping: PortMapping,
  dial: GuestDial,
  limits: Partial<PublishLimits> = {},
): Promise<PublishedPort> {
  const { hostPortEnd: last = mapping.hostPort, ...single } = mapping;
  const all = { ...DEFAULT_LIMITS, ...limits };
  for (let hostPort = mapping.hostPort; hostPort <= last; hostPort++) {
    const bound = await bind({ ...single, hostPort }, dial, all, last > mapping.hostPort);
    if (bound !== undefined) return bound;
  }
  throw inUse(`publish ${formatPortMapping(mapping)}: every port of the range is in use on this host`);
}

/** @returns undefined where the port is in use and is one of a range */
async function bind(
  mapping: PortMapping,
  dial: GuestDial,
  limits: PublishLimits,
  ofRange: boolean,
): Promise<PublishedPort | undefined> {
  const dialPort = (signal: AbortSignal) => dial(mapping.protocol, mapping.vmPort, { signal });
  try {
    return await (mapping.protocol === "tcp" ? publishTcp : publishUdp)(mapping, dialPort, limits);
  } catch (error) {
    if (ofRange && errnoOf(error) === "EADDRINUSE") return undefined;
    throw explain(error, mapping);
  }
}

function inUse(message: string, cause?: unknown): KilnError {
  const hint = "choose another host port, or 0 for any free one";
  return new KilnError(Code.AlreadyExists, message, { reason: "port-in-use", hint, cause });
}

function explain(error: unknown, mapping: PortMapping): KilnError {
  const address = formatHostPort(mapping.hostIp, mapping.hostPort);
  const what = `publish ${mapping.protocol} port ${address}`;
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return inUse(`${what}: the port is in use on this host`, error);
    case "EACCES":
      return new KilnError(Code.PermissionDenied, `${what}: only root may bind this port`, {
        reason: "privileged-port",
        hint: "choose a port from 1024 on, or lower the sysctl net.ipv4.ip_unprivileged_port_start",
        cause: error,
      });
    case "EADDRNOTAVAIL":
      return new KilnError(
        Code.InvalidArgument,
        `${what}: this host does not have the address ${mapping.hostIp}`,
        {
          reason: "address-not-here",
          cause: error,
        },
      );
    default:
      return KilnError.from(error, what);
  }
}
