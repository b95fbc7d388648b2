// A small VM of kiln's own, for what lies in a volume that no VM has open: a file system is read and written by a guest's
// kernel alone, which also plays its journal. Its root is empty but for a program that waits. It is an ordinary VM: whatever ends kilnd
// meanwhile, the next one finds it, and removes it.

import { KilnError } from "../../base/errors.js";
import { NO_MOUNT } from "../../base/mounts.js";
import { UndoStack } from "../../base/undo.js";
import { parsePlatform } from "../../image/index.js";
import type { Platform, StoredImage } from "../../image/types.js";
import { type EngineContext, vmLogger } from "../run/context.js";
import { createVm } from "../run/vm-create.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import { mountOf } from "../vm/mount-config.js";
import { defaultConfig, type VmConfig } from "../vm/vm-config.js";
import type { VolumeEntry } from "../volumes/entry.js";
import { writeArchive } from "./vm-files.js";
import { WAIT_PROGRAM, waitArchive } from "./wait-program.js";

/** Where it has the volume. */
export const CARRIED_AT = "/volume";

/** What its record names as its image, which has no id: no user's VM is of an image without one. */
const IMAGE_NAME = "kiln/volume";
const MIB = 1024 ** 2;

export interface Carrying {
  readonly readOnly: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** It is gone once it is disposed of. */
export interface Carrier extends AsyncDisposable {
  readonly vm: VmEntry;
  /** For who has written: what was written is on the disk when this resolves. */
  end(): Promise<void>;
}

/**
 * A VM that runs with a volume at `CARRIED_AT`.
 *
 * @throws KilnError failed_precondition `volume-busy`, and whatever keeps a VM from being made and started
 */
export async function openCarrier(
  ctx: EngineContext,
  verbs: VmVerbs,
  volume: VolumeEntry,
  { readOnly, signal }: Carrying,
): Promise<Carrier> {
  const platform = parsePlatform(ctx.host.facts.platform);
  const request = { config: configOf(volume, readOnly), pull: "never", image: nothing(platform) } as const;
  const vm = await createVm(ctx, request, signal === undefined ? {} : { signal });
  await using undo = new UndoStack();
  undo.push("remove kiln's own VM", () => removeCarrier(verbs, vm));
  const order = { directory: "/", keepOwner: true };
  await writeArchive(ctx, vm, order, waitArchive(platform.architecture), signal);
  signal?.throwIfAborted();
  await verbs.start(vm);
  undo.commit();
  return { vm, end: () => verbs.stop(vm), [Symbol.asyncDispose]: () => removeCarrier(verbs, vm) };
}

/** Those that a killed kilnd has left. */
export async function removeCarriers(ctx: EngineContext, verbs: VmVerbs): Promise<void> {
  for (const entry of ctx.vms.list().filter(isCarrier)) {
    await removeCarrier(verbs, entry).catch((error: unknown) => {
      const why = KilnError.from(error).message;
      vmLogger(ctx, entry).warn("kiln's own VM can't be removed", { why });
    });
  }
}

function isCarrier({ record, recordFlaw }: VmEntry): boolean {
  const { image, imageId } = record.config;
  return recordFlaw === undefined && image === IMAGE_NAME && imageId === "";
}

/** It goes by itself when it has ended. */
async function removeCarrier(verbs: VmVerbs, entry: VmEntry): Promise<void> {
  if (!entry.removing) await verbs.remove(entry, true);
  await verbs.wait(entry, "removed");
}

function configOf({ id, name }: VolumeEntry, readOnly: boolean): VmConfig {
  const found = { source: id, target: CARRIED_AT, readOnly, noCopy: true };
  return {
    ...defaultConfig(IMAGE_NAME),
    ...{ command: [WAIT_PROGRAM], network: "none", autoRemove: true, init: "app" },
    ...{ memoryBytes: 256 * MIB, diskBytes: 64 * MIB },
    labels: { "dev.kiln.volume": name },
    mounts: [mountOf({ ...NO_MOUNT, type: "volume", ...found })],
  };
}

/** An image of no layers: its base is an empty file system. */
function nothing(platform: Platform): StoredImage {
  return {
    ...{ id: "", names: [IMAGE_NAME], digests: [], manifestDigest: "", platform, layers: [], sizeBytes: 0 },
    createdAt: "",
    run: {
      ...{ env: [], entrypoint: [], cmd: [], workdir: "", user: "", labels: {} },
      ...{ exposedPorts: [], volumes: [], stopSignal: "" },
    },
  };
}
