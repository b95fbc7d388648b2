// Layers, bottom to top, into one tree and a file sink: what unpacking them one over the other as root would give
// (image-spec, layer.md). Files' data goes straight from the decompressed chunk to the sink; what a later layer hides
// is given back to it.

import type { KilnError } from "../../base/errors.js";
import type { Abortable, OnProgress } from "../../base/progress.js";
import type { DirectoryInode, FileSink } from "../../base/tree.js";
import { formatMemory } from "../../base/units.js";
import { LayerApplier } from "./layer-applier.js";
import { explainLayerError, type LayerBlob, LayerReader } from "./layer-reader.js";
import { type LayerLimits, layerLimits, limitExceeded } from "./limits.js";
import { TarParser } from "./tar-parser.js";

export interface MergeOptions extends Abortable {
  /** Bottom first. */
  readonly layers: readonly LayerBlob[];
  readonly sink: FileSink;
  readonly limits?: Partial<LayerLimits>;
  /** One id for each layer, its digest; bytes are those of the blob. */
  readonly onProgress?: OnProgress | undefined;
}

export interface MergeStats {
  readonly layers: number;
  /** Tar entries read, whiteouts included. */
  readonly entries: number;
  readonly uncompressedBytes: number;
  /** Logical bytes of files given to the sink, and of those given back. */
  readonly writtenBytes: number;
  readonly freedBytes: number;
}

export interface MergeResult {
  /** For `sink.finish`. */
  readonly root: DirectoryInode;
  readonly stats: MergeStats;
}

/**
 * Verifies and merges the layers. It neither finishes nor aborts the sink: the caller owns it. After an error the sink
 * may hold half a file and must be aborted.
 *
 * @throws KilnError that names the layer: data_loss `digest-mismatch`, `layer-truncated`, `layer-corrupt`;
 *   invalid_argument `path-escape`, `symlink-loop`, `link-target-missing`, `bad-tar`, …; resource_exhausted
 *   `layer-too-large`, `image-too-large`, `too-many-entries`, …; cancelled
 */
export async function mergeLayers(options: MergeOptions): Promise<MergeResult> {
  const limits = layerLimits(options.limits);
  const applier = new LayerApplier(options.sink, limits);
  let uncompressedBytes = 0;
  for (const blob of options.layers) {
    try {
      uncompressedBytes += await applyLayer(blob, applier, limits, uncompressedBytes, options);
    } catch (error) {
      throw await explainLayerError(blob, error);
    }
  }
  return {
    root: applier.root,
    stats: { layers: options.layers.length, uncompressedBytes, ...applier.stats },
  };
}

/** @returns the layer's uncompressed size */
async function applyLayer(
  blob: LayerBlob,
  applier: LayerApplier,
  limits: LayerLimits,
  before: number,
  { signal, onProgress }: MergeOptions,
): Promise<number> {
  signal?.throwIfAborted();
  const progress = { id: blob.digest, total: blob.sizeBytes };
  const onRead = (current: number) => onProgress?.({ ...progress, status: "extracting", current });
  const reader = await LayerReader.open(blob, { limits, onRead });
  try {
    const parser = new TarParser(limits);
    applier.beginLayer();
    let bytes = 0;
    for await (const chunk of reader.chunks()) {
      signal?.throwIfAborted();
      bytes += chunk.length;
      if (before + bytes > limits.maxImageBytes) throw imageTooLarge(limits);
      parser.push(chunk);
      await applier.applyEvents(parser);
    }
    parser.finish();
    applier.endLayer();
    onProgress?.({ ...progress, status: "done", current: blob.sizeBytes });
    return bytes;
  } finally {
    await reader.close();
  }
}

function imageTooLarge(limits: LayerLimits): KilnError {
  const message = `the image's layers are larger than ${formatMemory(limits.maxImageBytes)} uncompressed`;
  return limitExceeded("image-too-large", message, "maxImageBytes");
}
