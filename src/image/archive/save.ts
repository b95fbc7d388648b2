// `image save`: images of the store as one tar, an OCI layout (image-spec, image-layout.md) that is a docker-archive
// as well, so that skopeo, podman and docker load it. The same images give the same bytes.

import { defined } from "../../base/defined.js";
import { Code, KilnError } from "../../base/errors.js";
import { encodeTarHeader, paddingOf } from "../../base/tar-format.js";
import { hexOf } from "../digest.js";
import { lookUp } from "../lookup.js";
import { OCI_INDEX, OCI_MANIFEST } from "../media-types.js";
import { ImageReason } from "../reasons.js";
import { familiarName } from "../reference.js";
import type { StoreContext } from "../store/context.js";
import { blobsOf } from "../store/records.js";
import type { StoredImage } from "../types.js";

/** An image to save, and the names that it keeps. */
export interface SavedImage {
  readonly image: StoredImage;
  readonly names: readonly string[];
  /** Of its manifest. */
  readonly size: number;
  readonly mediaType: string;
}

/** A small file of the archive. */
export interface SavedFile {
  readonly name: string;
  readonly text: string;
}

const TAR_END = Buffer.alloc(1024);
const ENTRY = { uid: 0, gid: 0, mtimeMs: 0, linkName: "" };

/**
 * Nothing is removed from under it: its blobs are leased until the last byte has been taken.
 *
 * @param keys names keep that name, ids all names of the image
 * @throws KilnError not_found `image-not-found`, before the first byte
 */
export async function* saveImages(
  context: StoreContext,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const lease = context.blobs.lease();
  try {
    const found = chooseImages(keys, context.records.list());
    for (const { image } of found) for (const digest of blobsOf(image)) await lease.pin(digest);
    const saved: SavedImage[] = [];
    for (const { image, names } of found) saved.push(await withManifest(context, image, names));
    yield* directory("blobs");
    yield* directory("blobs/sha256");
    for (const digest of [...new Set(saved.flatMap(({ image }) => blobsOf(image)))].sort()) {
      yield* blob(context, digest, signal);
    }
    for (const { name, text } of planIndex(saved)) yield* file(name, Buffer.from(text));
    yield TAR_END;
  } finally {
    lease.release();
  }
}

/** The documents that say what is in the archive: OCI's and docker's. */
export function planIndex(saved: readonly SavedImage[]): SavedFile[] {
  const manifests = saved.flatMap(({ image, names, size, mediaType }) => {
    const { os, architecture, variant } = image.platform;
    const platform = defined({ architecture, os, variant });
    const entry = { mediaType, digest: image.manifestDigest, size, platform };
    return names.length === 0
      ? [entry]
      : names.map((name) => ({ ...entry, annotations: annotationsOf(name) }));
  });
  const docker = saved.map(({ image, names }) => ({
    Config: blobPath(image.id),
    RepoTags: names.map(familiarName),
    Layers: image.layers.map(({ digest }) => blobPath(digest)),
  }));
  return [
    { name: "index.json", text: JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }) },
    { name: "manifest.json", text: JSON.stringify(docker) },
    { name: "oci-layout", text: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
  ];
}

/** As containerd and docker note names: the whole in one annotation, the tag in the other. */
function annotationsOf(name: string): Record<string, string> {
  const tag = /:([^:/]+)$/.exec(name)?.[1] ?? "latest";
  return { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag };
}

interface Chosen {
  readonly image: StoredImage;
  readonly names: readonly string[];
}

/** The images that keys stand for, each once, with the names it was asked for by. */
function chooseImages(keys: readonly string[], all: readonly StoredImage[]): Chosen[] {
  const chosen = new Map<string, Chosen>();
  for (const key of keys) {
    const found = lookUp(key, all);
    if (found === undefined) throw noSuchImage(key);
    const { image } = found;
    const tagged = found.by === "name" && image.names.includes(found.name) ? [found.name] : image.names;
    const names = new Set([...(chosen.get(image.id)?.names ?? []), ...tagged]);
    chosen.set(image.id, { image, names: [...names] });
  }
  return [...chosen.values()];
}

function noSuchImage(key: string): KilnError {
  return new KilnError(Code.NotFound, `no such image: ${key}`, {
    reason: ImageReason.ImageNotFound,
    hint: "`kiln images` lists what is there",
  });
}

async function withManifest(
  context: StoreContext,
  image: StoredImage,
  names: readonly string[],
): Promise<SavedImage> {
  const bytes = await context.blobs.read(image.manifestDigest, context.limits.manifestBytes);
  const { mediaType } = JSON.parse(bytes.toString("utf8")) as { mediaType?: unknown };
  return {
    image,
    names,
    size: bytes.length,
    mediaType: typeof mediaType === "string" ? mediaType : OCI_MANIFEST,
  };
}

function* directory(name: string): Generator<Uint8Array> {
  yield encodeTarHeader({ ...ENTRY, name, type: "directory", mode: 0o755, size: 0 });
}

function* file(name: string, bytes: Buffer): Generator<Uint8Array> {
  yield encodeTarHeader({ ...ENTRY, name, type: "file", mode: 0o644, size: bytes.length });
  yield bytes;
  yield Buffer.alloc(paddingOf(bytes.length));
}

async function* blob(
  context: StoreContext,
  digest: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const size = await context.blobs.sizeOf(digest);
  if (size === undefined) {
    throw new KilnError(Code.DataLoss, `save: blob ${digest} is gone`, { reason: ImageReason.BlobNotFound });
  }
  yield encodeTarHeader({ ...ENTRY, name: blobPath(digest), type: "file", mode: 0o644, size });
  for await (const chunk of context.blobs.stream(digest)) {
    signal?.throwIfAborted();
    yield chunk;
  }
  yield Buffer.alloc(paddingOf(size));
}

function blobPath(digest: string): string {
  return `blobs/sha256/${hexOf(digest)}`;
}
