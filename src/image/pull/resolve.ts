// From whatever a name leads to, down through indexes, to the one manifest for a platform.

import { Code, KilnError } from "../../base/errors.js";
import { type ImageManifest, parseManifest, selectEntry } from "../manifest.js";
import { ImageReason } from "../reasons.js";
import type { Platform } from "../types.js";
import type { ContentSource } from "./content.js";

/** Indexes in indexes: buildx makes one level, nobody makes more than two. */
const MAX_DEPTH = 3;

export interface TopDocument {
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly mediaType: string | undefined;
}

export interface ResolvedManifest {
  readonly manifest: ImageManifest;
  readonly bytes: Uint8Array;
  readonly digest: string;
}

/** @throws KilnError `no-such-platform`, `invalid-manifest`, `unknown-media-type`, ... */
export async function resolveManifest(
  top: TopDocument,
  source: ContentSource,
  wanted: Platform,
): Promise<ResolvedManifest> {
  let { bytes, digest, mediaType } = top;
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const document = parseManifest(bytes, mediaType, source.what);
    if (document.kind === "manifest") return { manifest: document, bytes, digest };
    const entry = selectEntry(document, wanted, source.what);
    bytes = await source.manifest(entry);
    digest = entry.digest;
    mediaType = entry.mediaType;
  }
  throw new KilnError(Code.InvalidArgument, `${source.what}: its index leads through too many indexes`, {
    reason: ImageReason.InvalidManifest,
  });
}
