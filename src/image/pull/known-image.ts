// An image that is here already under the id that is being pulled. An id is a config's digest, and a config says of
// which layers it is; anybody can put a config that is public beside layers that are not its own. So an id is given
// only to layers that were found to be what the config says: that alone is the same image, however it is compressed
// elsewhere.

import { Code, KilnError } from "../../base/errors.js";
import { explainLayerError, LayerReader } from "../layers/index.js";
import type { Lease } from "../store/blobs.js";
import type { StoreContext } from "../store/context.js";
import { blobsOf, type ImageRecord } from "../store/records.js";
import type { LayerInfo } from "../types.js";

export interface KnownImage {
  /** To be used as it is: nothing has to be fetched. */
  readonly record: ImageRecord | undefined;
  /** Another image had the id and has lost it. */
  readonly contested: boolean;
}

export async function findKnown(context: StoreContext, id: string, lease: Lease): Promise<KnownImage> {
  const record = context.records.record(id);
  if (record === undefined) return { record: undefined, contested: false };
  for (const digest of blobsOf(record)) await lease.pin(digest);
  // Leased only now: a removal may have been faster.
  for (const digest of blobsOf(record)) {
    if ((await context.blobs.sizeOf(digest)) === undefined) return { record: undefined, contested: false };
  }
  if (record.verified === true) return { record, contested: false };
  // An earlier release, which took an image without looking.
  if (await areVerified(context, record.layers)) {
    return { record: { ...record, verified: true }, contested: false };
  }
  context.log.warn("an image's layers are not those of its config: it loses its id to another", {
    image: id,
  });
  await context.change(() => context.records.delete(id));
  return { record: undefined, contested: true };
}

/** Reads all layers to their end; the caller holds a lease on them. */
async function areVerified(context: StoreContext, layers: readonly LayerInfo[]): Promise<boolean> {
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
async function verifyLayer(context: StoreContext, layer: LayerInfo, signal?: AbortSignal): Promise<void> {
  const blob = { ...layer, path: context.blobs.path(layer.digest) };
  const reader = await LayerReader.open(blob, { limits: context.layerLimits });
  try {
    for await (const _ of reader.chunks()) signal?.throwIfAborted();
  } catch (error) {
    signal?.throwIfAborted();
    throw await explainLayerError(blob, error);
  } finally {
    await reader.close();
  }
}

/**
 * @param seen diff ids that were found while the blobs came, by digest
 * @throws as verifyLayer: "what cannot be verified never occupies an id"
 */
export async function verifyLayers(
  context: StoreContext,
  layers: readonly LayerInfo[],
  seen: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<void> {
  for (const layer of layers) {
    // Without compression the blob's own digest is its diff id, and has been compared.
    const known =
      layer.compression === "none" ||
      seen.get(layer.digest) === layer.diffId ||
      context.records.isVerified(layer);
    if (!known) await verifyLayer(context, layer, signal);
  }
}
