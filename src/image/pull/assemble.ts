// From a manifest to an image in the store: blobs fetched side by side, config read, platform and layers checked,
// record written. Whatever fails, nothing is left behind but what a next try can resume.

import { createReadStream } from "node:fs";
import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { allocatedBytes } from "../../base/files.js";
import { Semaphore } from "../../base/lock.js";
import type { OnProgress } from "../../base/progress.js";
import { type ImageConfig, parseImageConfig } from "../config.js";
import { COMPRESSION_MAGIC_BYTES, detectCompression } from "../layers/index.js";
import { checkRunnable, type Descriptor, explainMissing, noSuchPlatform } from "../manifest.js";
import { normalisePlatform, rankPlatform } from "../platform.js";
import { ImageReason } from "../reasons.js";
import { isResumable } from "../registry/blob-download.js";
import type { StoreContext } from "../store/context.js";
import type { ImageRecord } from "../store/records.js";
import type { LayerInfo, Platform, PulledImage, StoredImage } from "../types.js";
import type { ContentSource } from "./content.js";
import { ensureBlob } from "./ensure-blob.js";
import { findKnown, verifyLayers } from "./known-image.js";
import type { ResolvedManifest } from "./resolve.js";

export interface AssembleOptions {
  readonly resolved: ResolvedManifest;
  readonly source: ContentSource;
  readonly platform: Platform;
  /** Full names that the image gets, and digest names ("docker.io/library/nginx@sha256:..."). */
  readonly names: readonly string[];
  readonly digests: readonly string[];
  /** Under which the journal notes it; undefined where there is nothing to resume (archives). */
  readonly journalKey: string | undefined;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/** @throws KilnError of every kind of ImageReason, `host-disk-full`, `cancelled` */
export async function assembleImage(context: StoreContext, options: AssembleOptions): Promise<PulledImage> {
  const image = await assemble(context, options);
  return { ...image, pulledAs: options.names[0] ?? options.digests[0] ?? image.id };
}

async function assemble(context: StoreContext, options: AssembleOptions): Promise<StoredImage> {
  const { manifest, bytes, digest } = options.resolved;
  checkRunnable(manifest, context.limits, options.source.what);
  const lease = context.blobs.lease();
  try {
    const { record: known, contested } = await findKnown(context, manifest.config.digest, lease);
    if (known !== undefined) {
      checkPlatform(known, options.platform, options.source.what);
      reportKnown(known, options.onProgress);
      const image = await context.commit(known, options.names, options.digests);
      if (options.journalKey !== undefined) await context.journal.end(options.journalKey);
      return image;
    }
    const digests = [digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)];
    for (const needed of digests) await lease.pin(needed);
    if (options.journalKey !== undefined) await context.journal.begin(options.journalKey, digests);
    failpoint("image.noted");
    await checkSpace(context, manifest.layers, options.source.what);
    await context.blobs.put(bytes);
    const record = await fetchAll(context, options);
    failpoint("image.fetched");
    const image = await context.commit(record, options.names, options.digests);
    failpoint("image.named");
    if (options.journalKey !== undefined) await context.journal.end(options.journalKey);
    lease.release();
    if (contested) await context.tidy();
    return image;
  } catch (error) {
    lease.release();
    await cleanUp(context, options.journalKey, error);
    throw error;
  } finally {
    lease.release();
  }
}

function reportKnown(record: ImageRecord, onProgress: OnProgress): void {
  for (const { digest, sizeBytes } of record.layers) {
    onProgress({ id: digest, status: "exists", current: sizeBytes, total: sizeBytes });
  }
}

async function checkSpace(context: StoreContext, layers: readonly Descriptor[], what: string): Promise<void> {
  let missing = 0;
  for (const { digest, size } of uniqueLayers(layers)) {
    if ((await context.blobs.sizeOf(digest)) !== undefined) continue;
    missing += size - Math.min(size, await allocatedBytes(context.blobs.partialPath(digest)));
  }
  await context.reserveSpace(missing, `pull ${what}`);
}

async function fetchAll(context: StoreContext, options: AssembleOptions): Promise<ImageRecord> {
  const { resolved, source, signal, platform } = options;
  const { manifest } = resolved;
  const quiet = { source, signal, onProgress: () => undefined };
  await ensureBlob(context, manifest.config, quiet);
  const configBytes = await context.blobs.read(manifest.config.digest, context.limits.configBytes);
  const config = parseImageConfig(configBytes, source.what);
  checkPlatform(config, platform, source.what);
  if (config.diffIds.length !== manifest.layers.length) {
    throw new KilnError(
      Code.InvalidArgument,
      `${source.what}: the manifest has ${manifest.layers.length} layers, the config names ${config.diffIds.length}`,
      { reason: ImageReason.InvalidImageConfig },
    );
  }
  const seen = await fetchLayers(context, manifest.layers, options);
  const layers = await describeLayers(context, manifest.layers, config, source.what);
  await verifyLayers(context, layers, seen, signal);
  const sizes = [...uniqueLayers(manifest.layers), manifest.config].map(({ size }) => size);
  return {
    id: manifest.config.digest,
    manifestDigest: resolved.digest,
    platform: normalisePlatform(config.platform ?? platform),
    run: config.run,
    layers,
    sizeBytes: sizes.reduce((sum, size) => sum + size, resolved.bytes.length),
    createdAt: config.createdAt,
    verified: true,
  };
}

/**
 * Several at a time. The first failure stops the others, and is reported when all have stopped.
 *
 * @returns diff ids that were found on the way, by digest
 */
async function fetchLayers(
  context: StoreContext,
  layers: readonly Descriptor[],
  { source, signal, onProgress }: AssembleOptions,
): Promise<ReadonlyMap<string, string>> {
  const seen = new Map<string, string>();
  const onDiffId = (digest: string, diffId: string) => void seen.set(digest, diffId);
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const slots = new Semaphore(context.limits.concurrentLayers);
  const unique = uniqueLayers(layers);
  for (const { digest, size } of unique) onProgress({ id: digest, status: "waiting", total: size });
  let first: unknown;
  await Promise.all(
    unique.map(async (layer) => {
      try {
        await slots.run(
          () => ensureBlob(context, layer, { source, onProgress, onDiffId, signal: stop }),
          stop,
        );
      } catch (error) {
        const failure = explainMissing(error, layer, source.what);
        first ??= failure;
        failed.abort(failure);
      }
    }),
  );
  if (first !== undefined) throw KilnError.from(first);
  return seen;
}

async function describeLayers(
  context: StoreContext,
  layers: readonly Descriptor[],
  config: ImageConfig,
  what: string,
): Promise<LayerInfo[]> {
  const infos: LayerInfo[] = [];
  for (const [index, { digest, size }] of layers.entries()) {
    // Media types lie now and then: the bytes decide.
    const compression = await compressionOf(context.blobs.path(digest), `${what}: layer ${digest}`);
    const diffId = config.diffIds[index] ?? "";
    if (compression === "none" && digest !== diffId) {
      throw new KilnError(
        Code.DataLoss,
        `${what}: layer ${digest} should be ${diffId} by the image's config`,
        {
          reason: ImageReason.DigestMismatch,
        },
      );
    }
    infos.push({ digest, sizeBytes: size, diffId, compression });
  }
  return infos;
}

/** Reads a blob's first bytes. */
export async function compressionOf(path: string, what: string): Promise<LayerInfo["compression"]> {
  const parts: Buffer[] = [];
  try {
    for await (const part of createReadStream(path, { end: COMPRESSION_MAGIC_BYTES - 1 }))
      parts.push(part as Buffer);
    return detectCompression(Buffer.concat(parts));
  } catch (error) {
    throw KilnError.from(error, what);
  }
}

function checkPlatform(config: Pick<ImageConfig, "platform">, wanted: Platform, what: string): void {
  if (config.platform === undefined || rankPlatform(wanted, config.platform) !== undefined) return;
  throw noSuchPlatform(what, wanted, [config.platform]);
}

function uniqueLayers(layers: readonly Descriptor[]): Descriptor[] {
  return [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
}

/** After a failure: what can be resumed stays noted, everything else that nobody needs goes. */
async function cleanUp(context: StoreContext, journalKey: string | undefined, cause: unknown): Promise<void> {
  if (journalKey !== undefined && !isResumable(KilnError.from(cause))) {
    // Noted a while too long is harmless, and the pull's own failure is what the user must see.
    await context.journal.end(journalKey).catch(() => undefined);
  }
  await context.tidy();
}
