// oci:DIR: an OCI layout as a directory. Only blobs that the image needs are read, and only into our own store.

import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { digestOf, hexOf } from "../digest.js";
import { assembleImage } from "../pull/assemble.js";
import type { ContentSource } from "../pull/content.js";
import { resolveManifest } from "../pull/resolve.js";
import { ImageReason } from "../reasons.js";
import type { StoreContext } from "../store/context.js";
import type { PulledImage } from "../types.js";
import { checkLayoutVersion, chooseEntry, nameForEntry } from "./layout.js";
import { openRegular, readRegular, readSmall } from "./local-file.js";
import type { LocalPullOptions } from "./options.js";

const VERSION_FILE_BYTES = 4096;

/** @throws KilnError `invalid-archive`, `image-not-found`, `ambiguous-image`, and what assembleImage throws */
export async function pullLayoutDirectory(
  context: StoreContext,
  path: string,
  tag: string | undefined,
  options: LocalPullOptions,
): Promise<PulledImage> {
  const { what, platform } = options;
  checkLayoutVersion(await readSmall(join(path, "oci-layout"), VERSION_FILE_BYTES, what), what);
  const index = await readSmall(join(path, "index.json"), context.limits.manifestBytes, what);
  const entry = chooseEntry(index, tag, platform, what);
  const source = directorySource(context, path, what);
  const bytes = await source.manifest(entry);
  const top = { bytes, digest: entry.digest, mediaType: entry.mediaType };
  return await assembleImage(context, {
    ...options,
    source,
    resolved: await resolveManifest(top, source, platform),
    names: [nameForEntry(entry, path)],
    digests: [],
    journalKey: undefined,
  });
}

function directorySource(context: StoreContext, path: string, what: string): ContentSource {
  const blobPath = (digest: string) => join(path, "blobs", "sha256", hexOf(digest));
  return {
    what,
    async manifest({ digest, size }) {
      const bytes = await readSmall(blobPath(digest), context.limits.manifestBytes, what);
      if (bytes.length === size && digestOf(bytes) === digest) return bytes;
      throw new KilnError(Code.DataLoss, `${what}: the file of manifest ${digest} holds something else`, {
        reason: ImageReason.DigestMismatch,
        hint: "the layout is damaged: make it again",
      });
    },
    async fetch({ digest, size }, ingest, onProgress, signal) {
      await ingest.restart();
      await using file = await openRegular(blobPath(digest), `${what}: blob ${digest}`);
      for await (const chunk of readRegular(file, signal)) {
        if (ingest.offset + chunk.length > size) return; // too long: the caller sees it, the disk is spared the rest
        await ingest.append(chunk);
        onProgress({ id: digest, status: "downloading", current: ingest.offset, total: size });
      }
    },
  };
}
