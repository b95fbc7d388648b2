// A connection to kilnd: its socket, and kilnd started where none runs.

import type { Socket } from "node:net";
import { delay } from "../base/runtime.js";
import type { CallOptions } from "./deadline.js";
import { dial, type HostAddress, isNobodyListening, resolveHost, unreachable } from "./host.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { Transport } from "./transport.js";

/** Options of `Kiln.connect()`. */
export interface ConnectOptions extends CallOptions {
  /** "unix:///run/kiln/kiln.sock". Default: KILN_HOST, else the socket of this user's kilnd. */
  readonly host?: string | undefined;
  /** Starts kilnd where nobody listens on the default socket. Default true; never for a socket that was named. */
  readonly start?: boolean | undefined;
}

const CONNECT_OPTIONS: NamesOf<ConnectOptions> = { ...CALL, host: true, start: true };

/** @throws KilnError unavailable `daemon-not-running` or `daemon-start-failed`, permission_denied */
export async function openTransport(
  options: ConnectOptions,
): Promise<{ readonly transport: Transport; readonly socket: string }> {
  checkOptions("Kiln.connect()", options, CONNECT_OPTIONS);
  const address = resolveHost(options.host);
  const startable = address.isDefault && options.start !== false;
  const transport = new Transport((again) => openSocket(address, startable, again));
  await transport.connect(options);
  return { transport, socket: address.socket };
}

/** Whoever looks after kilnd brings it back first: systemd, an upgrade. */
const RETURN_MS = 1_000;
const RETURN_STEP_MS = 25;

async function openSocket(address: HostAddress, startable: boolean, again: boolean): Promise<Socket> {
  try {
    return await (again ? dialPatiently(address.socket) : dial(address.socket));
  } catch (error) {
    if (!startable || !isNobodyListening(error)) throw unreachable(address.socket, error);
    const { startDaemon } = await import("./daemon-start.js");
    return startDaemon(address.socket);
  }
}

/** Dials until somebody listens, for a while. */
async function dialPatiently(socket: string): Promise<Socket> {
  for (const end = Date.now() + RETURN_MS; ; await delay(RETURN_STEP_MS)) {
    try {
      return await dial(socket);
    } catch (error) {
      if (!isNobodyListening(error) || Date.now() >= end) throw error;
    }
  }
}
