// docker-archive:FILE: what `docker save` writes. manifest.json names config and layers by their place in the tar
// (Docker's image spec v1.2); newer versions lay an OCI layout beside it, which is not needed.

import * as v from "valibot";
import { Code, KilnError } from "../../base/errors.js";
import { digestOf } from "../digest.js";
import { quoteServer } from "../http/failures.js";
import { type Descriptor, makeManifest, parseManifest } from "../manifest.js";
import { OCI_LAYER, OCI_MANIFEST } from "../media-types.js";
import { assembleImage, compressionOf } from "../pull/assemble.js";
import type { ResolvedManifest } from "../pull/resolve.js";
import { ImageReason } from "../reasons.js";
import { formatReference, parseReference } from "../reference.js";
import type { ImageSource } from "../source.js";
import type { StoreContext } from "../store/context.js";
import type { PulledImage } from "../types.js";
import { type ArchiveContents, type ArchivedFile, absorbArchive, absorbedSource } from "./absorb.js";
import type { LocalPullOptions } from "./options.js";

const Name = v.pipe(v.string(), v.maxLength(4096));
const ItemSchema = v.looseObject({
  Config: Name,
  RepoTags: v.nullish(v.pipe(v.array(Name), v.maxLength(1000))),
  Layers: v.pipe(v.array(Name), v.maxLength(4096)),
});
const ArchiveManifest = v.pipe(v.array(ItemSchema), v.minLength(1), v.maxLength(1000));
type Item = v.InferOutput<typeof ItemSchema>;

type DockerArchive = Extract<ImageSource, { kind: "docker-archive" }>;

/** @throws KilnError `invalid-archive`, `image-not-found`, `ambiguous-image`, and what assembleImage throws */
export async function pullDockerArchive(
  context: StoreContext,
  archive: DockerArchive,
  options: LocalPullOptions,
): Promise<PulledImage> {
  const { what } = options;
  const lease = context.blobs.lease();
  try {
    const contents = await absorbArchive(context, archive.path, lease, options);
    const item = chooseItem(parseArchiveManifest(contents.document("manifest.json"), what), archive, what);
    return await assembleImage(context, {
      ...options,
      source: absorbedSource(context, what),
      resolved: await manifestFor(context, contents, item, what),
      names: archive.reference === undefined ? tagsOf(item) : [formatReference(archive.reference)],
      digests: [],
      journalKey: undefined,
    });
  } finally {
    lease.release();
    await context.tidy(); // images of the archive that were not chosen
  }
}

/** @throws KilnError invalid_argument `invalid-archive` */
function parseArchiveManifest(bytes: Uint8Array | undefined, what: string): Item[] {
  if (bytes === undefined) {
    throw invalid(what, "it has no manifest.json", "an OCI archive is named oci-archive:/FILE");
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw invalid(what, "its manifest.json is not JSON");
  }
  const parsed = v.safeParse(ArchiveManifest, json);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw invalid(what, quoteServer(`manifest.json: ${v.getDotPath(issue) ?? "document"}: ${issue.message}`));
}

function chooseItem(items: readonly Item[], archive: DockerArchive, what: string): Item {
  const tags = items.flatMap(tagsOf);
  const wanted = archive.reference === undefined ? "" : formatReference(archive.reference);
  const chosen =
    archive.index !== undefined
      ? items[archive.index]
      : archive.reference !== undefined
        ? items.find((item) => tagsOf(item).includes(wanted))
        : items[0];
  if (chosen === undefined) {
    throw new KilnError(Code.NotFound, `${what}: no such image in the archive${listing(tags)}`, {
      reason: ImageReason.ImageNotFound,
    });
  }
  if (items.length > 1 && archive.index === undefined && archive.reference === undefined) {
    throw new KilnError(Code.InvalidArgument, `${what} holds several images${listing(tags)}`, {
      reason: ImageReason.AmbiguousImage,
      hint: "name one of them: docker-archive:/FILE:NAME:TAG, or docker-archive:/FILE:@0 for the first",
    });
  }
  return chosen;
}

/** The OCI manifest that the archive's list of files stands for. */
async function manifestFor(
  context: StoreContext,
  contents: ArchiveContents,
  item: Item,
  what: string,
): Promise<ResolvedManifest> {
  const find = (name: string): ArchivedFile => {
    const file = contents.file(name);
    if (file === undefined) throw invalid(what, `${quoteServer(name)} is missing in it`);
    return file;
  };
  const layers: Descriptor[] = [];
  for (const name of item.Layers) {
    const { digest, size } = find(name);
    const compression = await compressionOf(context.blobs.path(digest), `${what}: ${quoteServer(name)}`);
    layers.push({
      mediaType: compression === "none" ? OCI_LAYER : `${OCI_LAYER}+${compression}`,
      digest,
      size,
    });
  }
  const bytes = makeManifest(find(item.Config), layers);
  const manifest = parseManifest(bytes, OCI_MANIFEST, what);
  if (manifest.kind !== "manifest") throw new TypeError("a manifest media type parses to a manifest");
  return { manifest, bytes, digest: digestOf(bytes) };
}

function tagsOf(item: Item): string[] {
  const names: string[] = [];
  for (const tag of item.RepoTags ?? []) {
    const reference = parseReference(tag);
    if (reference.digest === undefined) names.push(formatReference(reference));
  }
  return names;
}

function listing(tags: readonly string[]): string {
  return tags.length === 0
    ? ""
    : `; it has ${tags.slice(0, 20).join(", ")}${tags.length > 20 ? ", ..." : ""}`;
}

function invalid(what: string, why: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, `${what} is not a docker archive: ${why}`, {
    reason: ImageReason.InvalidArchive,
    hint,
  });
}
