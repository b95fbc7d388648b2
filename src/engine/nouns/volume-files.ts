// What lies in volumes, as tar streams: by the VM that has one open, else by a small VM of kiln's own.

import { renameRoot } from "../../base/copy-plan.js";
import { Code, KilnError } from "../../base/errors.js";
import { renameTar } from "../../base/tar-stream.js";
import { openPlainTar } from "../../image/index.js";
import type { EngineContext } from "../run/context.js";
import { runningSession } from "../run/vm-access.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import type { VolumeEntry } from "../volumes/entry.js";
import { readArchive } from "../workload/vm-files.js";
import { CARRIED_AT, openCarrier } from "../workload/volume-carrier.js";

/** A VM that has a volume open, and where. */
interface Place {
  readonly vm: VmEntry;
  readonly target: string;
}

/** Every verb throws KilnError not_found `volume-not-found` where no volume has that key. */
export class VolumeFiles {
  readonly #ctx: EngineContext;
  readonly #verbs: VmVerbs;

  constructor(ctx: EngineContext, verbs: VmVerbs) {
    this.#ctx = ctx;
    this.#verbs = verbs;
  }

  /**
   * All of it, as names below "." in a PAX archive. Of one that a VM has open: as that VM sees it now.
   *
   * @throws KilnError failed_precondition `volume-busy`, `vm-<state>`, and whatever keeps a VM from being started
   */
  async *read(key: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const volume = this.#ctx.volumes.find(key);
    const place = this.#placeOf(volume, false);
    if (place !== undefined) yield* archiveOf(place, signal);
    else yield* this.#readByCarrier(volume, signal);
  }

  /**
   * Lays an archive over what the volume holds: directories merge, files are replaced, neither takes the other's place;
   * owners are those of the archive.
   *
   * @param tar plain, gzip or zstd
   * @throws KilnError as `read`, `unsupported-compression`, and what the guest says of the archive
   */
  async write(key: string, tar: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    const { volumes } = this.#ctx;
    const volume = volumes.find(key);
    volume.requireHere();
    await using plain = await openPlainTar(tar);
    const unpack = (place: Place) => unpackInto(place, volume, plain, signal);
    const place = this.#placeOf(volume, true);
    // What the image has at the target is no more to be copied over what is the user's now; also not where this is cut.
    await volumes.markFilled(volume.id);
    if (place !== undefined) {
      await unpack(place);
      return;
    }
    await using carrier = await openCarrier(this.#ctx, this.#verbs, volume, { readOnly: false, signal });
    await unpack({ vm: carrier.vm, target: CARRIED_AT });
    await carrier.end();
  }

  /** The VM's whole view of it, not of a directory in it. */
  #placeOf({ id, name }: VolumeEntry, writes: boolean): Place | undefined {
    const holders = this.#ctx.volumes.holders(id);
    for (const { vm: vmId, readOnly } of holders) {
      const vm = this.#ctx.vms.get(vmId);
      const mount = vm?.record.config.mounts.find(
        ({ volumeId, subpath }) => volumeId === id && subpath === "",
      );
      if (vm !== undefined && mount !== undefined && !(writes && (readOnly || mount.readOnly))) {
        return { vm, target: mount.target };
      }
    }
    const [holder] = holders;
    if (holder === undefined) return undefined;
    const why = writes ? "has it read-only, or a part of it alone" : "has a part of it alone";
    throw new KilnError(
      Code.FailedPrecondition,
      `volume ${name} can't be ${writes ? "written" : "read"} as a whole: VM ${holder.name} ${why}`,
      { reason: "volume-busy", hint: `stop VM ${holder.name} first`, details: { vm: holder.vm } },
    );
  }

  async *#readByCarrier(volume: VolumeEntry, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    await using carrier = await openCarrier(this.#ctx, this.#verbs, volume, { readOnly: true, signal });
    yield* archiveOf({ vm: carrier.vm, target: CARRIED_AT }, signal);
  }
}

function archiveOf({ vm, target }: Place, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  return renameTar(readArchive(vm, target, true, signal), renameRoot(target, "."));
}

/**
 * The volume itself is what the guest unpacks into, and not the directory around it: no link in it, nor one that the archive
 * brings, leads to the VM's other files.
 */
async function unpackInto(
  { vm, target }: Place,
  { name }: VolumeEntry,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const session = await runningSession(vm, "import into", signal);
  const order = { directory: target, keepOwner: true, dressDirectory: true };
  try {
    await session.files.writeArchive(order, tar, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `import into volume ${name}`);
  }
}
