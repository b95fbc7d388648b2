// Ports added to and removed from a VM that exists. They stay over restarts: a running VM gets them at once, and its
// record keeps them for the next start.

import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import type { KeyedLock } from "../../base/lock.js";
import { UndoStack } from "../../base/undo.js";
import type { EventLog } from "../common/events.js";
import type { VmEntry } from "../vm/entry.js";
import { isLive } from "../vm/state.js";
import { checkPort, checkPortCount } from "../vm/validate.js";
import type { PortBinding } from "../vm/vm-config.js";
import { emitVmEvent } from "../vm/vm-events.js";
import { describePort, matchesPort, portNotPublished } from "./ports.js";

export interface PortVerbsDeps {
  /** One verb at a time for each VM. */
  readonly lock: KeyedLock;
  readonly events: Pick<EventLog, "emit">;
}

export class PortVerbs {
  readonly #deps: PortVerbsDeps;

  constructor(deps: PortVerbsDeps) {
    this.#deps = deps;
  }

  /**
   * @returns the binding, on a running VM with the host port that was chosen
   * @throws KilnError already_exists `port-in-use`, `port-published`; not_found `vm-not-found`
   */
  add(entry: VmEntry, wanted: PortBinding): Promise<PortBinding> {
    checkPort(wanted);
    const port = { ...wanted, hostIp: wanted.hostIp === "" ? "0.0.0.0" : wanted.hostIp };
    return this.#deps.lock.run(entry.id, async () => {
      entry.requireHere();
      const kept = entry.record.program.ports;
      const known = isOne(port) ? kept.find((other) => sameHostSide(other, port)) : undefined;
      if (known !== undefined && !isUnbound(entry, known, port)) throw alreadyPublished(port);
      if (known === undefined)
        checkPortCount(kept.length + 1, `publish port ${describePort(port)} of VM ${entry.name}`);
      await using undo = new UndoStack(() => undefined);
      const bound = (await entry.live?.ports.add(port)) ?? port;
      undo.push("close the port", async () => void (await entry.live?.ports.remove(bound)));
      if (known === undefined) await keep(entry, [...kept, bound]);
      undo.commit();
      failpoint("port.kept");
      await noteBound(entry);
      emitVmEvent(this.#deps, entry, "port-add", { port: describePort(bound) });
      return bound;
    });
  }

  /** @throws KilnError not_found `port-not-published`, `vm-not-found` */
  remove(entry: VmEntry, wanted: PortBinding): Promise<void> {
    return this.#deps.lock.run(entry.id, async () => {
      entry.requireHere();
      const kept = entry.record.program.ports;
      const published = entry.live?.ports;
      const bound = published?.bindings.find((port) => matchesPort(port, wanted));
      const target = bound ?? wanted;
      // A port asked for as "any free one" is kept as 0 and bound as another.
      const index = kept.findIndex((port) => matchesPort(port, target) || matchesPort(target, port));
      if (index < 0 && bound === undefined) throw portNotPublished(wanted);
      // Written first: what can't be is left as it is, and can be asked for again.
      await keep(
        entry,
        kept.filter((_, at) => at !== index),
      );
      failpoint("port.dropped");
      if (bound !== undefined) await published?.remove(bound);
      failpoint("port.closed");
      await noteBound(entry);
      emitVmEvent(this.#deps, entry, "port-remove", { port: describePort(target) });
    });
  }
}

async function keep(entry: VmEntry, ports: PortBinding[]): Promise<void> {
  const { record } = entry;
  await entry.setRecord({ ...record, program: { ...record.program, ports } });
}

/** For the next kilnd. Where it can't be written (a full disk), that one goes by what was written last. */
async function noteBound(entry: VmEntry): Promise<void> {
  if (!isLive(entry.state) || entry.live === undefined) return;
  await entry.note({ ports: entry.live.ports.bindings }).catch(() => undefined);
}

function isOne({ hostPort, hostPortEnd }: PortBinding): boolean {
  return hostPort !== 0 && hostPortEnd === undefined;
}

/** Kept for a VM that runs without it: somebody else had it when kilnd took the VM over. */
function isUnbound({ live }: VmEntry, known: PortBinding, wanted: PortBinding): boolean {
  if (live === undefined || known.vmPort !== wanted.vmPort) return false;
  return !live.ports.bindings.some((port) => matchesPort(port, known));
}

function sameHostSide(a: PortBinding, b: PortBinding): boolean {
  return a.hostPort === b.hostPort && a.hostIp === b.hostIp && a.protocol === b.protocol;
}

function alreadyPublished(port: PortBinding): KilnError {
  return new KilnError(Code.AlreadyExists, `port ${describePort(port)} is published already`, {
    reason: "port-published",
  });
}
