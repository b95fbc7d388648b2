// An image that is here already under the id that is being pulled. An id is a config's digest, and a config says of
// which layers it is; anybody can put a config that is public beside layers that are not its own. So where the layers
// differ, the id belongs to the image whose layers are what the config says: only that is the same image, however it
// is compressed elsewhere.

import { Code, KilnError } from "../../base/errors.js";
import { DEFAULT_LAYER_LIMITS, LayerReader } from "../layers/index.js";
import type { Descriptor } from "../manifest.js";
import type { Lease } from "../store/blobs.js";
import type { StoreContext } from "../store/context.js";
import { blobsOf, type ImageRecord } from "../store/records.js";
import type { LayerInfo } from "../types.js";

export interface KnownImage {
  /** To be used as it is: nothing has to be fetched. */
  readonly record: ImageRecord | undefined;
  /** Another image had the id and has lost it: what comes now must be verified too. */
  readonly contested: boolean;
}

/** @param layers of the image that is being pulled */
export async function findKnown(
  context: StoreContext,
  id: string,
  layers: readonly Descriptor[],
  lease: Lease,
): Promise<KnownImage> {
  const record = context.records.record(id);
  if (record === undefined) return { record: undefined, contested: false };
  for (const digest of blobsOf(record)) await lease.pin(digest);
  // Leased only now: a removal may have been faster.
  for (const digest of blobsOf(record)) {
    if ((await context.blobs.sizeOf(digest)) === undefined) return { record: undefined, contested: false };
  }
  if (record.verified === true || isOf(record, layers)) return { record, contested: false };
  if (await areVerified(context, record.layers)) {
    return { record: { ...record, verified: true }, contested: false };
  }
  context.log.warn("an image's layers are not those of its config: it loses its id to another", {
    image: id,
  });
  await context.change(() => context.records.delete(id));
  return { record: undefined, contested: true };
}

/** The very same layers: there is nothing to choose between. */
function isOf(record: ImageRecord, layers: readonly Descriptor[]): boolean {
  if (record.layers.length !== layers.length) return false;
  return record.layers.every(({ digest }, index) => digest === layers[index]?.digest);
}

/** Reads all layers to their end; the caller holds a lease on them. */
export async function areVerified(context: StoreContext, layers: readonly LayerInfo[]): Promise<boolean> {
  try {
    for (const layer of layers) await verifyLayer(context, layer);
    return true;
  } catch (error) {
    const { code, details } = KilnError.from(error);
    // Anything else (a disk that can't be read) says nothing about the image.
    if (code === Code.DataLoss || details.limit !== undefined) return false;
    throw error;
  }
}

/** @throws KilnError data_loss `digest-mismatch` and what else the reader says */
export async function verifyLayer(context: StoreContext, layer: LayerInfo): Promise<void> {
  const blob = { ...layer, path: context.blobs.path(layer.digest) };
  const reader = await LayerReader.open(blob, { limits: DEFAULT_LAYER_LIMITS });
  try {
    for await (const _ of reader.chunks());
  } finally {
    await reader.close();
  }
}
