// Puts VMs that exist on networks, and takes them off. The record alone is changed: a microVM's cards come with its start.

import { Code, KilnError } from "../../base/errors.js";
import { UndoStack } from "../../base/undo.js";
import type { NetworkEntry } from "../networks/entry.js";
import type { VmEntry } from "../vm/entry.js";
import type { NetworkAttachment } from "../vm/network-config.js";
import { isLive } from "../vm/state.js";
import { usesOf, vmRef } from "../vm/uses.js";
import { checkAttachment, checkNetworks } from "../vm/validate-networks.js";
import type { EngineContext } from "./context.js";
import { takeNetworks } from "./create-networks.js";

export class ConnectVerbs {
  readonly #ctx: EngineContext;

  constructor(ctx: EngineContext) {
    this.#ctx = ctx;
  }

  /**
   * @throws KilnError failed_precondition `no-hotplug` where it runs; already_exists `already-connected`; as `takeNetworks`
   */
  connect(network: NetworkEntry, entry: VmEntry, wanted: NetworkAttachment): Promise<void> {
    const { references, lock, networks } = this.#ctx;
    return lock.run(entry.id, async () => {
      requireChangeable(entry, "put on");
      const { config } = entry.record;
      if (config.networks.some(({ networkId }) => networkId === network.id)) throw alreadyOn(network, entry);
      const asked = checkAttachment({ ...wanted, name: network.id });
      checkNetworks({ ...config, networks: [...config.networks, asked] });
      await using leases = new UndoStack();
      const why = `VM ${entry.name} is being put on it`;
      const taken = await takeNetworks(
        this.#ctx,
        { id: entry.id, name: entry.name, egress: config.egress },
        [asked],
        { references, leases, why },
      );
      await this.#keep(entry, [...config.networks, ...taken]);
      networks.emit("connect", network, { vm: entry.name, vmId: entry.id });
    });
  }

  /**
   * @throws KilnError failed_precondition `no-hotplug` where it runs; not_found `not-connected`
   */
  disconnect(network: NetworkEntry, entry: VmEntry): Promise<void> {
    return this.#ctx.lock.run(entry.id, async () => {
      requireChangeable(entry, "taken off");
      const { networks } = entry.record.config;
      const rest = networks.filter(({ networkId }) => networkId !== network.id);
      if (rest.length === networks.length) throw notOn(network, entry);
      await this.#keep(entry, rest);
      this.#ctx.networks.emit("disconnect", network, { vm: entry.name, vmId: entry.id });
    });
  }

  async #keep(entry: VmEntry, networks: NetworkAttachment[]): Promise<void> {
    const { record } = entry;
    const next = { ...record, config: { ...record.config, networks } };
    // Both, while it is not known which of them will be on disk.
    this.#ctx.references.set(vmRef(entry.id), [...usesOf(record), ...usesOf(next)]);
    try {
      await entry.setRecord(next);
    } finally {
      this.#ctx.references.set(vmRef(entry.id), usesOf(entry.record));
    }
  }
}

function requireChangeable(entry: VmEntry, what: string): void {
  entry.requireHere();
  entry.requireRecord("change");
  if (!isLive(entry.state)) return;
  const { name } = entry;
  throw new KilnError(
    Code.FailedPrecondition,
    `VM ${name} runs, and can't be ${what} a network: a microVM's cards come with its start`,
    { reason: "no-hotplug", hint: `stop it first: \`kiln stop ${name}\`, and start it again after that` },
  );
}

function alreadyOn({ name }: NetworkEntry, vm: VmEntry): KilnError {
  return new KilnError(Code.AlreadyExists, `VM ${vm.name} is on network ${name} already`, {
    reason: "already-connected",
    hint: `for other addresses take it off first: \`kiln network disconnect ${name} ${vm.name}\``,
  });
}

function notOn({ name }: NetworkEntry, vm: VmEntry): KilnError {
  return new KilnError(Code.NotFound, `VM ${vm.name} is not on network ${name}`, {
    reason: "not-connected",
    hint: `see who is with \`kiln network inspect ${name}\``,
  });
}
