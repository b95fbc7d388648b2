// The published ports of a VM: each is bound by kilnd itself, and served by one dial into the guest per connection.

import { Code, KilnError } from "../../base/errors.js";
import { DEFAULT_HOST_IP, formatPortMapping } from "../../base/ports.js";
import type { GuestDialer, NetworkRoom, PublishedPort } from "../common/rooms.js";
import type { VmEntry } from "../vm/entry.js";
import type { RunPorts } from "../vm/run-view.js";
import type { PortBinding } from "../vm/vm-config.js";
import type { AttachmentSet } from "./set.js";
import type { AttachmentAt, AttachmentKind, Moments } from "./types.js";

export const publishedPorts: AttachmentKind = ({ ports }, { rooms }) =>
  ports.map((port) => new Port(rooms.network, port));

class Port implements AttachmentAt<"hello"> {
  readonly kind = "port";
  readonly id: string;
  readonly at = "hello";
  readonly #network: NetworkRoom;
  readonly #wanted: PortBinding;
  #published: PublishedPort | undefined;

  constructor(network: NetworkRoom, wanted: PortBinding) {
    this.#network = network;
    this.#wanted = wanted;
    this.id = describePort(wanted);
  }

  /** As bound, where it is. */
  get binding(): PortBinding {
    return this.#published?.binding ?? this.#wanted;
  }

  plan(): Record<string, never> {
    return {};
  }

  async acquire({ guest }: Moments["hello"]): Promise<void> {
    this.#published = await this.#network.publish(this.#wanted, guest);
  }

  /** The last kilnd's went with it. One that somebody else has taken meanwhile must not cost the VM. */
  adopt(context: Moments["hello"]): Promise<void> {
    return this.acquire(context);
  }

  guest(): Record<string, never> {
    return {};
  }

  async release(): Promise<void> {
    await this.#published?.close();
  }

  detach(): Promise<void> {
    return this.release();
  }
}

/** The ports among what is attached to a VM that runs. */
export class PortSet implements RunPorts {
  readonly #attached: AttachmentSet;
  readonly #network: NetworkRoom;
  readonly #guest: GuestDialer;

  constructor(attached: AttachmentSet, network: NetworkRoom, guest: GuestDialer) {
    this.#attached = attached;
    this.#network = network;
    this.#guest = guest;
  }

  get bindings(): PortBinding[] {
    return this.#ports.map((port) => port.binding);
  }

  async add(binding: PortBinding): Promise<PortBinding> {
    const port = new Port(this.#network, binding);
    await this.#attached.add(port, { guest: this.#guest });
    return port.binding;
  }

  /**
   * @param wanted host port 0 matches any; an empty host address too
   * @throws KilnError not_found `port-not-published`
   */
  async remove(wanted: PortBinding): Promise<PortBinding> {
    const port = this.#ports.find(({ binding }) => matchesPort(binding, wanted));
    if (port === undefined) throw portNotPublished(wanted);
    await this.#attached.remove(port);
    return port.binding;
  }

  get #ports(): Port[] {
    return this.#attached.held.filter((attachment) => attachment instanceof Port);
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
    (wanted.hostIp === "" || addressOf(port) === addressOf(wanted))
  );
}

/**
 * Those that a VM which runs is to have: each of its record, as it was bound where it was. What was taken from it comes back to the
 * next kilnd that can have it; what was taken back stays so, though the kilnd that was told so did not live to close it.
 */
export function portsOfRunning({ record, status, recordFlaw }: RunningVm): readonly PortBinding[] {
  if (recordFlaw !== undefined) return status.ports;
  const bound = new Set(status.ports);
  // A port of its own is nobody else's: those that may be any come last.
  const wanted = [...record.program.ports].sort((a, b) => choicesOf(a) - choicesOf(b));
  return wanted.map((port) => {
    const own = [...bound].find((other) => matchesPort(other, port));
    if (own !== undefined) bound.delete(own);
    return own ?? port;
  });
}

type RunningVm = Pick<VmEntry, "record" | "status" | "recordFlaw">;

function choicesOf({ hostPort, hostPortEnd = hostPort }: PortBinding): number {
  return hostPort === 0 ? Number.POSITIVE_INFINITY : hostPortEnd - hostPort;
}

export function describePort(port: PortBinding): string {
  return formatPortMapping({ ...port, hostIp: addressOf(port) });
}

function addressOf({ hostIp }: PortBinding): string {
  return hostIp || DEFAULT_HOST_IP;
}
