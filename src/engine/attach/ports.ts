// The published ports of one running VM.

import { Code, KilnError } from "../../base/errors.js";
import { formatPortMapping } from "../../base/ports.js";
import { UndoStack } from "../../base/undo.js";
import type { GuestDialer, NetworkRoom, PublishedPort } from "../common/rooms.js";
import type { PortBinding } from "../vm/vm-config.js";

export class PortSet {
  readonly #network: NetworkRoom;
  readonly #guest: GuestDialer;
  readonly #ports: PublishedPort[] = [];

  constructor(network: NetworkRoom, guest: GuestDialer) {
    this.#network = network;
    this.#guest = guest;
  }

  /** As bound. */
  get bindings(): PortBinding[] {
    return this.#ports.map((port) => port.binding);
  }

  /** Publishes all of them or none. */
  async addAll(bindings: readonly PortBinding[]): Promise<void> {
    await using undo = new UndoStack();
    for (const binding of bindings) {
      const port = await this.add(binding);
      undo.push(`close port ${describePort(port)}`, async () => void (await this.remove(port)));
    }
    undo.commit();
  }

  /** @returns the binding with the host port that was chosen for 0 */
  async add(binding: PortBinding): Promise<PortBinding> {
    const port = await this.#network.publish(binding, this.#guest);
    this.#ports.push(port);
    return port.binding;
  }

  /**
   * @param wanted host port 0 matches any; an empty host address too
   * @throws KilnError not_found `port-not-published`
   */
  async remove(wanted: PortBinding): Promise<PortBinding> {
    const index = this.#ports.findIndex((port) => matchesPort(port.binding, wanted));
    const [port] = index < 0 ? [] : this.#ports.splice(index, 1);
    if (port === undefined) throw portNotPublished(wanted);
    await port.close();
    return port.binding;
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#ports.splice(0).map((port) => port.close()));
  }
}

export function portNotPublished(wanted: PortBinding): KilnError {
  return new KilnError(Code.NotFound, `port ${describePort(wanted)} is not published`, {
    reason: "port-not-published",
    hint: "see what is with `kiln port VM`",
  });
}

/** Whether a published port is the one that was named, or one of the range that was. */
export function matchesPort(port: PortBinding, wanted: PortBinding): boolean {
  const { hostPort: first, hostPortEnd: last = first } = wanted;
  return (
    port.vmPort === wanted.vmPort &&
    port.protocol === wanted.protocol &&
    (first === 0 || (first <= port.hostPort && port.hostPort <= last)) &&
    (wanted.hostIp === "" || port.hostIp === wanted.hostIp)
  );
}

export function describePort(port: PortBinding): string {
  return formatPortMapping({ ...port, hostIp: port.hostIp || "0.0.0.0" });
}
