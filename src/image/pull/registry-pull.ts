// Pulling from a registry: from a name to a manifest to an image in the store.

import { Code, KilnError } from "../../base/errors.js";
import type { OnProgress } from "../../base/progress.js";
import type { Descriptor } from "../manifest.js";
import { formatPlatform } from "../platform.js";
import { ImageReason } from "../reasons.js";
import { formatReference, type Reference, repositoryName } from "../reference.js";
import { type RemoteOptions, RemoteRepository } from "../registry/remote-repository.js";
import type { StoreContext } from "../store/context.js";
import type { Platform, PulledImage } from "../types.js";
import { assembleImage } from "./assemble.js";
import type { ContentSource } from "./content.js";
import { resolveManifest } from "./resolve.js";

export interface RegistryPullOptions {
  readonly remote: Omit<RemoteOptions, "reference" | "limits" | "log" | "signal">;
  readonly platform: Platform;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/** @throws KilnError of every kind of ImageReason */
export async function pullFromRegistry(
  context: StoreContext,
  reference: Reference,
  options: RegistryPullOptions,
): Promise<PulledImage> {
  const { platform, onProgress, signal } = options;
  const { limits, log } = context;
  const what = formatReference(reference);
  onProgress({ id: what, status: "resolving" });
  using remote = await RemoteRepository.open({ ...options.remote, reference, limits, log, signal });
  const source = remoteSource(remote, what, context);
  const top = await remote.manifest(reference.digest ?? reference.tag ?? "", what);
  const resolved = await resolveManifest({ ...top, mediaType: top.contentType }, source, platform);
  const repository = repositoryName(reference);
  return await assembleImage(context, {
    resolved,
    source,
    platform,
    // With a digest the tag is only a remark: nobody has checked that the registry's tag means that digest.
    names: reference.digest === undefined ? [what] : [],
    // What the name led to, an index included: the digest that docker shows and that people pin.
    digests: [`${repository}@${top.digest}`],
    journalKey: `${what} ${formatPlatform(platform)}`,
    onProgress,
    signal,
  });
}

function remoteSource(remote: RemoteRepository, what: string, context: StoreContext): ContentSource {
  const { limits } = context;
  return {
    what,
    async manifest(descriptor: Descriptor) {
      const { bytes } = await remote.manifest(descriptor.digest, what);
      if (bytes.length === descriptor.size) return bytes;
      throw new KilnError(
        Code.DataLoss,
        `${what}: manifest ${descriptor.digest} is not as long as its index says`,
        {
          reason: ImageReason.SizeMismatch,
        },
      );
    },
    async fetch({ digest, size }, sink, onProgress, signal) {
      await remote.blob({ digest, size, sink, limits, onProgress, signal });
    },
  };
}
