// Sees to it that one blob is in the store: there already, on its way in another pull, or fetched now.

import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import type { OnProgress } from "../../base/progress.js";
import { expansionLimit } from "../layers/index.js";
import type { Descriptor } from "../manifest.js";
import { ImageReason } from "../reasons.js";
import { isResumable } from "../registry/blob-download.js";
import type { StoreContext } from "../store/context.js";
import { Ingest } from "../store/ingest.js";
import type { ContentSource } from "./content.js";
import { DiffTap } from "./diff-tap.js";

export interface EnsureOptions {
  readonly source: ContentSource;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
  /** Of layers: told their diff id, where it was found while they came. */
  readonly onDiffId?: (digest: string, diffId: string) => void;
}

/**
 * The caller holds a lease on the digest.
 *
 * @throws KilnError data_loss `digest-mismatch`, `size-mismatch`, and what the source throws
 */
export async function ensureBlob(
  context: StoreContext,
  descriptor: Descriptor,
  options: EnsureOptions,
): Promise<void> {
  const { digest, size } = descriptor;
  const { source, onProgress, signal } = options;
  for (;;) {
    signal.throwIfAborted();
    const there = await context.blobs.sizeOf(digest);
    if (there !== undefined) {
      if (there !== size) throw wrongSize(source.what, descriptor, there);
      onProgress({ id: digest, status: "exists", current: size, total: size });
      return;
    }
    // Who comes second watches. Where the first fails or is cancelled, the second takes over with its own registry and
    // credentials, from where the first stopped.
    const other = context.downloads.watch(digest, { onProgress, signal });
    if (other === undefined) {
      return await context.downloads.run(digest, { onProgress }, (_, report) =>
        fetchBlob(context, descriptor, { ...options, source, signal, onProgress: report }),
      );
    }
    await other;
  }
}

async function fetchBlob(
  context: StoreContext,
  descriptor: Descriptor,
  { source, onProgress, signal, onDiffId }: EnsureOptions,
): Promise<void> {
  const { digest, size } = descriptor;
  const ingest = await Ingest.resume(context.blobs.partialPath(digest), size);
  const tap =
    onDiffId === undefined || ingest.offset > 0
      ? undefined
      : new DiffTap(expansionLimit(size, context.layerLimits));
  ingest.tap = tap;
  try {
    await source.fetch(descriptor, ingest, onProgress, signal);
    onProgress({ id: digest, status: "verifying", current: size, total: size });
    if (ingest.offset !== size) throw wrongSize(source.what, descriptor, ingest.offset);
    const actual = ingest.digest();
    if (actual !== digest) throw wrongDigest(source.what, descriptor, actual);
    const diffId = await tap?.end();
    failpoint("image.downloaded");
    await context.blobs.publish(ingest, digest);
    failpoint("image.stored");
    if (diffId !== undefined) onDiffId?.(digest, diffId);
    onProgress({ id: digest, status: "done", current: size, total: size });
  } catch (error) {
    tap?.drop();
    await putAside(ingest, isResumable(KilnError.from(error)));
    throw error;
  }
}

/** What can be resumed stays, the rest goes; a failure here must not hide the one that led here. */
async function putAside(ingest: Ingest, keep: boolean): Promise<void> {
  try {
    await (keep ? ingest.keep() : ingest.discard());
  } catch {
    await ingest.discard().catch(() => undefined); // the next start removes what even that leaves
  }
}

function wrongSize(what: string, descriptor: Descriptor, actual: number): KilnError {
  return new KilnError(
    Code.DataLoss,
    `${what}: blob ${descriptor.digest} has ${actual} bytes, the manifest says ${descriptor.size}`,
    { reason: ImageReason.SizeMismatch, hint: "the image is damaged or truncated: make it or push it again" },
  );
}

function wrongDigest(what: string, descriptor: Descriptor, actual: string): KilnError {
  return new KilnError(Code.DataLoss, `${what}: blob ${descriptor.digest} has the digest ${actual}`, {
    reason: ImageReason.DigestMismatch,
    hint: "the image is damaged: make it or push it again",
  });
}
