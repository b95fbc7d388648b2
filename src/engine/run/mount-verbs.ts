// Volumes attached to and detached from a VM that exists. They stay over restarts: a running VM gets them at once, and its
// record keeps them for the next start. The record is written before the guest has one and after it has let go: whoever
// asks who may write to a volume never hears too little, whenever kilnd is killed.

import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { UndoStack } from "../../base/undo.js";
import type { VmEntry } from "../vm/entry.js";
import type { Mount } from "../vm/mount-config.js";
import { requireState } from "../vm/state.js";
import { usesOf, vmRef } from "../vm/uses.js";
import { checkMounts } from "../vm/validate-mounts.js";
import { emitVmEvent } from "../vm/vm-events.js";
import type { EngineContext } from "./context.js";
import { checkOnce, takeVolume } from "./create-mounts.js";

export class MountVerbs {
  readonly #ctx: EngineContext;

  constructor(ctx: EngineContext) {
    this.#ctx = ctx;
  }

  /**
   * A volume that is not there is made.
   *
   * @returns the mount's target, normalised
   * @throws KilnError invalid_argument `bad-mount`, `duplicate-mount`, `volume-twice`; failed_precondition `volume-busy`,
   * `no-hotplug`, `vm-paused`
   */
  attach(entry: VmEntry, wanted: Mount): Promise<string> {
    const { references, lock } = this.#ctx;
    return lock.run(entry.id, async () => {
      entry.requireHere();
      entry.requireRecord("change");
      requireHearing(entry, "attach a volume to");
      const { config } = entry.record;
      const mount = checkMounts({ ...config, mounts: [...config.mounts, wanted] }).at(-1);
      if (mount?.type !== "volume") throw onlyVolumes(wanted);
      await using undo = new UndoStack(() => undefined);
      await using leases = new UndoStack();
      const why = `it is being attached to VM ${entry.name}`;
      const taken = await takeVolume(this.#ctx, mount, { keeping: { references, leases, why }, undo });
      const before = config.mounts;
      checkOnce([...before, taken]);
      await this.#keep(entry, [...before, taken]);
      undo.push("take it off the record", () => this.#keep(entry, before));
      failpoint("mount.kept");
      await entry.live?.mounts.add(taken);
      undo.commit();
      const volume = taken.source || taken.volumeId;
      emitVmEvent(this.#ctx, entry, "volume-attach", { volume, target: taken.target });
      return taken.target;
    });
  }

  /**
   * @param key the target, or the name or id of a volume that the VM has once
   * @throws KilnError not_found `mount-not-found`; invalid_argument `ambiguous-mount`; failed_precondition `mount-in-use`,
   * `vm-paused`
   */
  detach(entry: VmEntry, key: string): Promise<void> {
    return this.#ctx.lock.run(entry.id, async () => {
      entry.requireHere();
      entry.requireRecord("change");
      requireHearing(entry, "detach a volume from");
      const { mounts } = entry.record.config;
      const { target, source, volumeId } = found(entry, mounts, key);
      await entry.live?.mounts.remove(target);
      await this.#keep(
        entry,
        mounts.filter((mount) => mount.target !== target),
      );
      emitVmEvent(this.#ctx, entry, "volume-detach", { volume: source || volumeId, target });
    });
  }

  async #keep(entry: VmEntry, mounts: Mount[]): Promise<void> {
    const { record } = entry;
    const next = { ...record, config: { ...record.config, mounts } };
    // Both, while it is not known which of them will be on disk.
    this.#ctx.references.set(vmRef(entry.id), [...usesOf(record), ...usesOf(next)]);
    try {
      await entry.setRecord(next);
    } finally {
      this.#ctx.references.set(vmRef(entry.id), usesOf(entry.record));
    }
  }
}

/** A guest that stands still would be waited for with the VM's lock held, which its `unpause` needs. */
function requireHearing({ name, state }: VmEntry, what: string): void {
  if (state === "paused") requireState(what, name, state, []);
}

function found({ name }: VmEntry, mounts: readonly Mount[], key: string): Mount {
  const volumes = mounts.filter(({ type }) => type === "volume");
  const named = volumes.filter(
    ({ target, source, volumeId }) =>
      target === key.replace(/(?<=.)\/$/, "") || source === key || volumeId === key,
  );
  const [one, more] = named;
  if (one === undefined) {
    throw new KilnError(Code.NotFound, `VM ${name} has no volume ${key}`, {
      reason: "mount-not-found",
      hint: `see what it has with \`kiln inspect -f '{{json .status.mounts}}' ${name}\``,
    });
  }
  if (more === undefined) return one;
  throw new KilnError(Code.InvalidArgument, `VM ${name} has volume ${key} at ${named.length} paths`, {
    reason: "ambiguous-mount",
    hint: `name the path: ${named.map(({ target }) => target).join(", ")}`,
  });
}

function onlyVolumes({ type }: Mount): KilnError {
  return new KilnError(
    Code.InvalidArgument,
    `a mount of type ${type} can't be attached to a VM that exists`,
    {
      reason: "mount-not-supported",
      hint: "volumes can; anything else is said when the VM is made",
    },
  );
}
