// oci-archive:FILE: an OCI layout as a tar.

import { Code, KilnError } from "../../base/errors.js";
import { assembleImage } from "../pull/assemble.js";
import { resolveManifest } from "../pull/resolve.js";
import { ImageReason } from "../reasons.js";
import type { StoreContext } from "../store/context.js";
import type { PulledImage } from "../types.js";
import { absorbArchive, absorbedSource } from "./absorb.js";
import { checkLayoutVersion, chooseEntry, nameForEntry } from "./layout.js";
import type { LocalPullOptions } from "./options.js";

/** @throws KilnError `invalid-archive`, `image-not-found`, `ambiguous-image`, and what assembleImage throws */
export async function pullOciArchive(
  context: StoreContext,
  path: string,
  tag: string | undefined,
  options: LocalPullOptions,
): Promise<PulledImage> {
  const { what, platform } = options;
  const lease = context.blobs.lease();
  try {
    const contents = await absorbArchive(context, path, lease, options);
    checkLayoutVersion(contents.document("oci-layout"), what);
    const index = contents.document("index.json");
    if (index === undefined) {
      throw new KilnError(Code.InvalidArgument, `${what} has no index.json`, {
        reason: ImageReason.InvalidArchive,
      });
    }
    const entry = chooseEntry(index, tag, platform, what);
    const source = absorbedSource(context, what);
    const top = { bytes: await source.manifest(entry), digest: entry.digest, mediaType: entry.mediaType };
    return await assembleImage(context, {
      ...options,
      source,
      resolved: await resolveManifest(top, source, platform),
      names: [nameForEntry(entry, path)],
      digests: [],
      journalKey: undefined,
    });
  } finally {
    lease.release();
    await context.tidy(); // images of the archive that were not chosen
  }
}
