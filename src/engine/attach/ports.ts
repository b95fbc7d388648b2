// The published ports of a VM: each is bound by kilnd itself, and served by one dial into the guest per connection. Under
// --publish-mode nft rules lead there as well, which come before the listener for whoever is not this host itself.

import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { DEFAULT_HOST_IP, formatPortMapping } from "../../base/ports.js";
import type { GuestDialer, NetworkRoom, PublishedPort } from "../common/rooms.js";
import type { VmEntry } from "../vm/entry.js";
import type { RunPorts } from "../vm/run-view.js";
import type { PortBinding } from "../vm/vm-config.js";
import { type PortRules, portRulesOf } from "./port-rules.js";
import type { AttachmentSet } from "./set.js";
import type { AttachmentAt, AttachmentKind, Moments } from "./types.js";

export const publishedPorts: AttachmentKind = ({ record, ports }, needs) => {
  const rules = portRulesOf({ record }, needs);
  return ports.map((port) => new Port(needs.rooms.network, port, rules));
};

class Port implements AttachmentAt<"hello"> {
  readonly kind = "port";
  readonly id: string;
  readonly at = "hello";
  readonly #network: NetworkRoom;
  readonly #wanted: PortBinding;
  readonly #rules: PortRules | undefined;
  #published: PublishedPort | undefined;

  constructor(network: NetworkRoom, wanted: PortBinding, rules: PortRules | undefined) {
    this.#network = network;
    this.#wanted = wanted;
    this.#rules = rules;
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
    // First: who listens is who has the port.
    const published = await this.#network.publish(this.#wanted, guest);
    failpoint("port.bound");
    try {
      await this.#rules?.publish(published.binding);
    } catch (error) {
      await published.close();
      throw error;
    }
    this.#published = published;
    failpoint("port.led");
  }

  /** The last kilnd's went with it. One that somebody else has taken meanwhile must not cost the VM. */
  async adopt(context: Moments["hello"]): Promise<void> {
    try {
      await this.acquire(context);
    } catch (error) {
      // Rules have outlived the last kilnd, and would go on taking what is somebody else's.
      await this.#rules?.unpublish(this.#wanted);
      throw error;
    }
  }

  guest(): Record<string, never> {
    return {};
  }

  async release(): Promise<void> {
    try {
      if (this.#published !== undefined) await this.#rules?.unpublish(this.binding);
      failpoint("port.unled");
    } finally {
      await this.detach();
    }
  }

  /** Rules go on without kilnd. */
  async detach(): Promise<void> {
    await this.#published?.close();
  }
}

/** The ports among what is attached to a VM that runs. */
export class PortSet implements RunPorts {
  readonly #attached: AttachmentSet;
  readonly #network: NetworkRoom;
  readonly #guest: GuestDialer;
  readonly #rules: PortRules | undefined;

  constructor(attached: AttachmentSet, network: NetworkRoom, guest: GuestDialer, rules?: PortRules) {
    this.#attached = attached;
    this.#network = network;
    this.#guest = guest;
    this.#rules = rules;
  }

  get bindings(): PortBinding[] {
    return this.#ports.map((port) => port.binding);
  }

  async add(binding: PortBinding): Promise<PortBinding> {
    const port = new Port(this.#network, binding, this.#rules);
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
