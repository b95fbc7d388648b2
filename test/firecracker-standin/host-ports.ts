// Guest-initiated vsock connections: for a guest that connects to port N of the host, Firecracker connects to the socket
// `<uds_path>_N`, and resets the guest where nobody listens there. The guest here has a serial port for each N: as long as
// it has that open, it is one that connects, and again whenever it was reset. What there is a name for at the start is all
// that there is: the real one looks when the guest connects.

import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { HOST_PORT_ID, type HostPort } from "./machine.js";

const ABSTRACT_NAME_BYTES = 107;
const AGAIN_MS = 20;

/** Of the names beside the vsock's socket; a link that leads nowhere yet is one. */
export function findHostPorts(udsPath: string): readonly HostPort[] {
  const prefix = `${basename(udsPath)}_`;
  const numbers = readdirSync(dirname(udsPath)).flatMap((name) => {
    const number = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    return /^[1-9][0-9]{0,9}$/.test(number) ? [Number(number)] : [];
  });
  return numbers
    .sort((a, b) => a - b)
    .map((number) => ({
      number,
      // As the channel's: as long as such a name can be.
      serial: `kiln-standin-${randomUUID()}`.padEnd(ABSTRACT_NAME_BYTES, "-"),
    }));
}

export class HostPorts {
  readonly #streams = new Map<string, HostStream>();

  constructor(udsPath: string, ports: readonly HostPort[]) {
    for (const { number, serial } of ports)
      this.#streams.set(`${HOST_PORT_ID}${number}`, new HostStream(`${udsPath}_${number}`, `\0${serial}`));
  }

  /** @param id of a serial port */
  setGuestConnects(id: string, connects: boolean): void {
    this.#streams.get(id)?.setGuestConnects(connects);
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.setGuestConnects(false);
  }
}

/** One port: the host's socket on the one side, the guest's serial port on the other, while both are there. */
class HostStream {
  readonly #host: string;
  readonly #serial: string;
  #connects = false;
  #sockets: readonly Socket[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(host: string, serial: string) {
    this.#host = host;
    this.#serial = serial;
  }

  setGuestConnects(connects: boolean): void {
    if (connects === this.#connects) return;
    this.#connects = connects;
    if (connects) this.#connect();
    else this.#reset();
  }

  #connect(): void {
    const host = connect(this.#host);
    this.#sockets = [host];
    host.on("error", () => undefined);
    host.once("close", () => this.#again(host));
    host.once("connect", () => {
      const serial = connect(this.#serial);
      this.#sockets = [host, serial];
      serial.on("error", () => undefined);
      serial.once("close", () => host.destroy());
      host.once("close", () => serial.destroy());
      serial.once("connect", () => {
        host.pipe(serial);
        serial.pipe(host);
      });
    });
  }

  #reset(): void {
    clearTimeout(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @param ended unless the guest has begun another meanwhile */
  #again(ended: Socket): void {
    if (!this.#connects || this.#sockets[0] !== ended) return;
    this.#timer = setTimeout(() => this.#connect(), AGAIN_MS);
  }
}
