// Manifests and indexes (image-spec, manifest.md and image-index.md; Docker's image-manifest v2 schema 2): bytes of a
// stranger to checked data. Refuses what kiln can't run, each with its own word.

import * as v from "valibot";
import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { checkDigest } from "./digest.js";
import { quoteServer } from "./http/failures.js";
import { parseJsonObject } from "./json.js";
import {
  isConfigType,
  isForeignLayerType,
  isLayerType,
  manifestKind,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media-types.js";
import { formatPlatform, rankPlatform } from "./platform.js";
import { ImageReason } from "./reasons.js";
import type { Platform } from "./types.js";

/** A pointer to content: type, digest (checked) and size. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface IndexEntry extends Descriptor {
  readonly platform: Platform | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly kind: "index";
  readonly entries: readonly IndexEntry[];
}

export interface ImageManifest {
  readonly kind: "manifest";
  readonly config: Descriptor;
  /** Bottom first. */
  readonly layers: readonly Descriptor[];
}

export interface ManifestLimits {
  readonly layers: number;
  readonly configBytes: number;
  readonly layerBytes: number;
  readonly imageBytes: number;
}

const MAX_ENTRIES = 4096;
const ShortText = v.pipe(v.string(), v.maxLength(1024));
const Annotations = v.nullish(v.record(v.string(), v.string()));
const DescriptorFields = {
  mediaType: v.optional(ShortText, ""),
  digest: ShortText,
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
};
const DescriptorSchema = v.looseObject(DescriptorFields);
const PlatformSchema = v.looseObject({
  os: v.optional(ShortText, ""),
  architecture: v.optional(ShortText, ""),
  variant: v.nullish(ShortText),
});
const IndexSchema = v.looseObject({
  manifests: v.pipe(
    v.array(
      v.looseObject({ ...DescriptorFields, platform: v.nullish(PlatformSchema), annotations: Annotations }),
    ),
    v.maxLength(MAX_ENTRIES),
  ),
});
const ManifestSchema = v.looseObject({
  config: DescriptorSchema,
  layers: v.pipe(v.array(DescriptorSchema), v.maxLength(MAX_ENTRIES)),
});

/**
 * Parses a manifest or an index.
 *
 * @param bytes already checked against their digest, where it is known
 * @param contentType as the registry or the descriptor said; undefined or a generic one: the document decides
 * @param what for messages: "docker.io/library/nginx:1.25"
 * @throws KilnError `unknown-media-type`, `invalid-manifest`, `unsupported-digest`
 */
export function parseManifest(
  bytes: Uint8Array,
  contentType: string | undefined,
  what: string,
): ImageIndex | ImageManifest {
  const document = parseJsonObject(bytes);
  if (document === undefined) throw notJson(what, contentType);
  const mediaType = decideMediaType(document, contentType, what);
  const kind = manifestKind(mediaType);
  if (kind === "schema1") {
    throw unknownType(
      what,
      mediaType,
      "the obsolete Docker manifest schema 1",
      "push the image again with a current tool",
    );
  }
  if (kind === "other") throw unknownType(what, mediaType, "no image manifest or index");
  // A document that can be read both ways means different things to different programs (CVE-2021-41190).
  if ("manifests" in document && ("layers" in document || "config" in document)) {
    throw invalid(what, "it is a manifest and an index at once");
  }
  return kind === "index" ? readIndex(document, what) : readManifest(document, what);
}

/**
 * The entry of an index that runs best on a platform; attestations and the like don't count.
 *
 * @throws KilnError not_found `no-such-platform`, listing what there is
 */
export function selectEntry(index: ImageIndex, wanted: Platform, what: string): IndexEntry {
  let best: IndexEntry | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const entry of index.entries) {
    const rank = entry.platform === undefined ? undefined : rankPlatform(wanted, entry.platform);
    if (rank === undefined || rank >= bestRank) continue;
    best = entry;
    bestRank = rank;
  }
  // An index that does not name platforms (umoci, hand-made layouts): the image's config will tell.
  const chosen = best ?? index.entries.find(({ platform }) => platform === undefined);
  if (chosen !== undefined) return chosen;
  throw noSuchPlatform(what, wanted, index.entries.map(({ platform }) => platform).filter(isKnown));
}

/** @param offered what the image is built for */
export function noSuchPlatform(what: string, wanted: Platform, offered: readonly Platform[]): KilnError {
  const list = [...new Set(offered.map(formatPlatform))].slice(0, 20).map(quoteServer).join(", ");
  const wants = formatPlatform(wanted);
  return new KilnError(
    Code.NotFound,
    `${what} is not built for ${wants}; it is for ${list || "no platform"}`,
    {
      reason: ImageReason.NoSuchPlatform,
      hint: `choose an image that is built for ${wants}: microVMs run their host's architecture`,
      details: { wanted: wants, offered: list },
    },
  );
}

/**
 * Checks that a manifest is of an image that kiln can run, within limits.
 *
 * @throws KilnError `not-an-image`, `unknown-media-type`, `image-too-large`
 */
export function checkRunnable(manifest: ImageManifest, limits: ManifestLimits, what: string): void {
  if (!isConfigType(manifest.config.mediaType)) {
    const type = quoteServer(manifest.config.mediaType) || "no media type";
    throw new KilnError(
      Code.FailedPrecondition,
      `${what} is not an image that can run: its config is ${type}`,
      {
        reason: ImageReason.NotAnImage,
        hint: "charts, signatures, SBOMs and other artifacts have no root file system",
      },
    );
  }
  if (manifest.config.size > limits.configBytes) throw tooLarge(what, "its config", limits.configBytes);
  if (manifest.layers.length > limits.layers) throw tooLarge(what, "its number of layers", limits.layers);
  let total = 0;
  for (const layer of manifest.layers) {
    if (!isForeignLayerType(layer.mediaType)) checkLayerType(layer, what);
    if (layer.size > limits.layerBytes) throw tooLarge(what, `layer ${layer.digest}`, limits.layerBytes);
    total += layer.size;
  }
  if (total > limits.imageBytes) throw tooLarge(what, "the sum of its layers", limits.imageBytes);
}

/** An OCI manifest's bytes for content that came without one (docker archives, imported tars): the same each time. */
export function makeManifest(config: Omit<Descriptor, "mediaType">, layers: readonly Descriptor[]): Buffer {
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: config.digest, size: config.size },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  return Buffer.from(JSON.stringify(document));
}

/**
 * What to say where a layer's content is not there. A non-distributable one may be there, in a layout or a registry of
 * those who may have it; elsewhere it lies at addresses that its manifest names.
 */
export function explainMissing(error: unknown, layer: Descriptor, what: string): KilnError {
  const failure = KilnError.from(error);
  if (failure.code !== Code.NotFound || !isForeignLayerType(layer.mediaType)) return failure;
  const type = quoteServer(layer.mediaType);
  return new KilnError(
    Code.FailedPrecondition,
    `${what}: layer ${layer.digest} is non-distributable (${type}) and not there`,
    {
      reason: ImageReason.ForeignLayer,
      hint: "such layers lie at addresses that the image names, and kiln asks no host but the registry: copy the image with its layers",
      cause: error,
    },
  );
}

function checkLayerType(layer: Descriptor, what: string): void {
  if (!isLayerType(layer.mediaType)) {
    const hint = /\+encrypted$/.test(layer.mediaType) ? "kiln can't decrypt layers" : undefined;
    throw unknownType(`${what}: layer ${layer.digest}`, layer.mediaType, "no layer that kiln can read", hint);
  }
}

function readIndex(document: Record<string, unknown>, what: string): ImageIndex {
  const { manifests } = check(IndexSchema, document, what);
  return {
    kind: "index",
    entries: manifests.map((entry) => ({
      ...readDescriptor(entry, OCI_MANIFEST, what),
      platform: readPlatform(entry.platform ?? undefined),
      annotations: entry.annotations ?? {},
    })),
  };
}

function readManifest(document: Record<string, unknown>, what: string): ImageManifest {
  const { config, layers } = check(ManifestSchema, document, what);
  return {
    kind: "manifest",
    config: readDescriptor(config, "", what),
    layers: layers.map((layer) => readDescriptor(layer, "", what)),
  };
}

function readDescriptor(
  raw: v.InferOutput<typeof DescriptorSchema>,
  defaultType: string,
  what: string,
): Descriptor {
  return { mediaType: raw.mediaType || defaultType, digest: checkDigest(raw.digest, what), size: raw.size };
}

function readPlatform(raw: v.InferOutput<typeof PlatformSchema> | undefined): Platform | undefined {
  if (raw === undefined || raw.architecture === "") return undefined;
  const { os, architecture, variant } = raw;
  return defined({ os: os || "linux", architecture, variant: variant || undefined });
}

/** "unknown/unknown" is how build tools file attestations in an index. */
function isKnown(platform: Platform | undefined): platform is Platform {
  return platform !== undefined && platform.architecture !== "unknown";
}

const GENERIC = new Set(["", "application/json", "application/octet-stream", "text/plain"]);

function decideMediaType(
  document: Record<string, unknown>,
  contentType: string | undefined,
  what: string,
): string {
  const outer = (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  const inner = typeof document.mediaType === "string" ? document.mediaType : "";
  if (!GENERIC.has(outer)) {
    if (inner !== "" && inner !== outer) {
      throw invalid(what, `it is served as ${quoteServer(outer)} but calls itself ${quoteServer(inner)}`);
    }
    return outer;
  }
  if (inner !== "") return inner;
  if (document.schemaVersion === 1) return "application/vnd.docker.distribution.manifest.v1+json";
  return "manifests" in document ? OCI_INDEX : OCI_MANIFEST;
}

function check<T extends v.GenericSchema>(schema: T, document: unknown, what: string): v.InferOutput<T> {
  const parsed = v.safeParse(schema, document);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw invalid(what, quoteServer(`${v.getDotPath(issue) ?? "document"}: ${issue.message}`));
}

function invalid(what: string, why: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, `manifest of ${what}: ${why}`, {
    reason: ImageReason.InvalidManifest,
    hint,
  });
}

/** What a server calls something else than JSON is seldom a manifest that went wrong: something else answered. */
function notJson(what: string, contentType: string | undefined): KilnError {
  if (contentType === undefined || /json/i.test(contentType)) return invalid(what, "it is not a JSON object");
  const why = `it is not a JSON object but ${quoteServer(contentType).slice(0, 80)}`;
  return invalid(what, why, "a proxy or a login page seems to answer in the registry's place");
}

function unknownType(what: string, mediaType: string, isWhat: string, hint?: string): KilnError {
  const shown = quoteServer(mediaType) || "(none)";
  return new KilnError(Code.FailedPrecondition, `${what}: media type ${shown} is ${isWhat}`, {
    reason: ImageReason.UnknownMediaType,
    hint: hint ?? "kiln reads OCI images and Docker schema 2",
    details: { mediaType: shown },
  });
}

function tooLarge(what: string, part: string, limit: number): KilnError {
  return new KilnError(Code.ResourceExhausted, `${what}: ${part} is above the limit of ${limit}`, {
    reason: ImageReason.ImageTooLarge,
  });
}
