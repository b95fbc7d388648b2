// `image import`: a root file system as a tar becomes an image of one layer. The tar is stored as it came; its diff id is
// found, and its form checked, by reading it once more from disk.

import { createHash } from "node:crypto";
import { Code, KilnError } from "../../base/errors.js";
import { formatMemory } from "../../base/units.js";
import { parseImageConfig } from "../config.js";
import { digestOf } from "../digest.js";
import { splitEntryPath } from "../layers/entry-path.js";
import {
  type Compression,
  DEFAULT_LAYER_LIMITS,
  decompress,
  type LayerLimits,
  readTarEntries,
} from "../layers/index.js";
import { expansionLimit, limitExceeded } from "../layers/limits.js";
import { makeManifest } from "../manifest.js";
import { OCI_LAYER } from "../media-types.js";
import { hostPlatform, normalisePlatform } from "../platform.js";
import { compressionOf } from "../pull/assemble.js";
import { ImageReason } from "../reasons.js";
import { formatReference, parseReference } from "../reference.js";
import type { Lease } from "../store/blobs.js";
import type { StoreContext } from "../store/context.js";
import { Ingest } from "../store/ingest.js";
import type { ImageRecord } from "../store/records.js";
import type { ImportOptions, Platform, StoredImage } from "../types.js";
import { applyChanges } from "./changes.js";

const REPORT_BYTES = 1024 * 1024;

interface Layer {
  readonly digest: string;
  readonly size: number;
  readonly diffId: string;
  readonly compression: Compression;
}

/**
 * @param tar plain, gzip or zstd
 * @throws KilnError `invalid-change`, `invalid-reference`, `image-too-large`, `host-disk-full`, the tar reader's
 */
export async function importTar(
  context: StoreContext,
  tar: AsyncIterable<Uint8Array>,
  options: ImportOptions,
  layerLimits: LayerLimits = DEFAULT_LAYER_LIMITS,
): Promise<StoredImage> {
  const name = nameFor(options.name);
  const config = applyChanges(options.changes ?? []);
  const platform = normalisePlatform(options.platform ?? hostPlatform());
  const lease = context.blobs.lease();
  try {
    const layer = await storeLayer(context, tar, lease, options, layerLimits);
    const document = configDocument(config, platform, layer.diffId, options);
    const record = await storeDocuments(context, document, layer, platform, lease);
    return await context.commit(record, [name], []);
  } finally {
    lease.release();
    await context.tidy(); // after a failure: the layer; after success: nothing
  }
}

async function storeLayer(
  context: StoreContext,
  tar: AsyncIterable<Uint8Array>,
  lease: Lease,
  options: ImportOptions,
  layerLimits: LayerLimits,
): Promise<Layer> {
  const { blobs, limits } = context;
  const ingest = await Ingest.create(blobs.temporaryPath("import"));
  try {
    await receive(ingest, tar, limits.layerBytes, options);
    await ingest.flush();
    const digest = ingest.digest();
    const size = ingest.offset;
    const compression = await compressionOf(ingest.path, `import ${options.name}`);
    await lease.pin(digest);
    if ((await blobs.sizeOf(digest)) === undefined) await blobs.publish(ingest, digest);
    const diffId = await checkTar(context, { digest, size, compression }, options, layerLimits);
    return { digest, size, diffId, compression };
  } finally {
    await ingest.discard(); // after publishing there is nothing of that name any more
  }
}

async function receive(
  ingest: Ingest,
  tar: AsyncIterable<Uint8Array>,
  limit: number,
  { name, signal, onProgress }: ImportOptions,
): Promise<void> {
  let reported = 0;
  for await (const chunk of tar) {
    signal?.throwIfAborted();
    if (ingest.offset + chunk.length > limit) {
      throw new KilnError(Code.ResourceExhausted, `import ${name}: the tar is larger than ${limit} bytes`, {
        reason: ImageReason.ImageTooLarge,
      });
    }
    await ingest.append(chunk);
    if (ingest.offset - reported < REPORT_BYTES) continue;
    reported = ingest.offset;
    onProgress?.({ id: name, status: "downloading", current: reported });
  }
}

/** Reads the whole tar: its diff id, or what is wrong with it. */
async function checkTar(
  context: StoreContext,
  layer: Omit<Layer, "diffId">,
  { name, signal, onProgress }: ImportOptions,
  limits: LayerLimits,
): Promise<string> {
  onProgress?.({ id: name, status: "verifying" });
  const stream = decompress(context.blobs.stream(layer.digest), layer.compression);
  const hash = createHash("sha256");
  async function* hashed(): AsyncGenerator<Uint8Array> {
    let left = expansionLimit(layer.size, limits);
    for await (const chunk of stream) {
      signal?.throwIfAborted();
      left -= chunk.length;
      if (left < 0) throw tooLarge(layer.size, limits);
      hash.update(chunk);
      yield chunk;
    }
  }
  const chunks = hashed();
  try {
    let members = 0;
    for await (const { entry } of readTarEntries(chunks, limits)) {
      members++;
      if (members > limits.maxEntries) throw tooManyEntries(limits);
      splitEntryPath(entry.path, "entry", limits);
    }
    // The reader stops at the end mark; the diff id is of all bytes.
    for await (const _rest of chunks);
    if (members === 0) throw notATar();
  } catch (error) {
    throw KilnError.from(error, `import ${name}`);
  } finally {
    await stream.close();
  }
  return `sha256:${hash.digest("hex")}`;
}

function configDocument(
  config: object,
  platform: Platform,
  diffId: string,
  { createdAt = new Date(), createdBy = "kiln image import" }: ImportOptions,
): Buffer {
  const created = createdAt.toISOString();
  const document = {
    created,
    ...platform,
    config,
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created, created_by: createdBy }],
  };
  return Buffer.from(JSON.stringify(document));
}

async function storeDocuments(
  context: StoreContext,
  config: Buffer,
  layer: Layer,
  platform: Platform,
  lease: Lease,
): Promise<ImageRecord> {
  const { blobs } = context;
  // Our own config goes through the same eye of the needle as a stranger's.
  const parsed = parseImageConfig(config, "the imported image");
  const id = digestOf(config);
  const { digest, size, diffId, compression } = layer;
  const mediaType = compression === "none" ? OCI_LAYER : `${OCI_LAYER}+${compression}`;
  const manifest = makeManifest({ digest: id, size: config.length }, [{ mediaType, digest, size }]);
  const manifestDigest = digestOf(manifest);
  await lease.pin(id);
  await lease.pin(manifestDigest);
  await blobs.put(config);
  await blobs.put(manifest);
  return {
    id,
    manifestDigest,
    platform,
    run: parsed.run,
    layers: [{ digest, sizeBytes: size, diffId, compression }],
    sizeBytes: size + config.length + manifest.length,
    createdAt: parsed.createdAt,
    // Its config was made of its layer, here.
    verified: true,
  };
}

function nameFor(text: string): string {
  const reference = parseReference(text);
  if (reference.digest === undefined) return formatReference(reference);
  throw new KilnError(Code.InvalidArgument, `${text}: an imported image is named by a tag, not by a digest`, {
    reason: ImageReason.InvalidReference,
  });
}

function tooLarge(size: number, limits: LayerLimits): KilnError {
  const limit = expansionLimit(size, limits);
  return limitExceeded(
    ImageReason.ImageTooLarge,
    `uncompressed the tar is larger than ${formatMemory(limit)}`,
    limit < limits.maxLayerBytes ? "maxRatio" : "maxLayerBytes",
  );
}

function tooManyEntries({ maxEntries }: LayerLimits): KilnError {
  return limitExceeded("too-many-entries", `there are more than ${maxEntries} entries`, "maxEntries");
}

function notATar(): KilnError {
  return new KilnError(Code.InvalidArgument, "there is nothing in the tar", {
    reason: ImageReason.InvalidArchive,
    hint: "give a tar of a root file system: plain, gzip or zstd",
  });
}
