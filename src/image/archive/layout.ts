// OCI image layouts (image-spec, image-layout.md), whether a directory or a tar: the version file, and which of the
// images in index.json is meant.

import * as v from "valibot";
import { Code, KilnError } from "../../base/errors.js";
import { quoteServer } from "../http/failures.js";
import { parseJsonObject } from "../json.js";
import { type IndexEntry, parseManifest, selectEntry } from "../manifest.js";
import { OCI_INDEX } from "../media-types.js";
import { ImageReason } from "../reasons.js";
import { formatReference, parseReference } from "../reference.js";
import type { Platform } from "../types.js";

const REF_NAME = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME = "io.containerd.image.name";

const LayoutSchema = v.looseObject({
  imageLayoutVersion: v.pipe(v.string(), v.regex(/^1\.[0-9]+\.[0-9]+$/)),
});

/** @throws KilnError invalid_argument `invalid-archive` */
export function checkLayoutVersion(bytes: Uint8Array | undefined, what: string): void {
  const document = bytes === undefined ? undefined : parseJsonObject(bytes);
  if (document !== undefined && v.safeParse(LayoutSchema, document).success) return;
  throw new KilnError(
    Code.InvalidArgument,
    `${what} is not an OCI image layout of version 1 (its file oci-layout)`,
    {
      reason: ImageReason.InvalidArchive,
    },
  );
}

/**
 * The entry of index.json that is meant: by name where one is given, else the only name there is; of several platforms
 * under that name, the wanted one.
 *
 * @throws KilnError not_found `image-not-found`, invalid_argument `ambiguous-image`, listing the names
 */
export function chooseEntry(
  index: Uint8Array,
  tag: string | undefined,
  wanted: Platform,
  what: string,
): IndexEntry {
  const document = parseManifest(index, OCI_INDEX, what);
  if (document.kind !== "index") throw new TypeError("an index media type parses to an index");
  const { entries } = document;
  const candidates =
    tag === undefined ? entries : entries.filter((entry) => namesOf(entry).some((name) => name === tag));
  const names = [...new Set(entries.flatMap(namesOf))];
  if (candidates.length === 0) throw notFound(what, tag, names);
  const meant = new Set(candidates.map((entry) => namesOf(entry)[0] ?? ""));
  if (meant.size > 1) throw ambiguous(what, names);
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  return selectEntry({ kind: "index", entries: candidates }, wanted, what);
}

/**
 * What to call an image out of a layout: the full name that its maker noted, else `localhost/<file name>:<tag>`.
 *
 * @param path of the layout or archive
 */
export function nameForEntry(entry: IndexEntry, path: string): string {
  const noted = [entry.annotations[CONTAINERD_NAME], entry.annotations[REF_NAME]];
  for (const name of noted) {
    // A bare word is a tag, not a name.
    const full = name === undefined || !/[/:]/.test(name) ? undefined : tryReference(name);
    if (full !== undefined) return full;
  }
  const base = path.split("/").findLast((part) => part !== "") ?? "";
  const component = base
    .toLowerCase()
    .replace(/\.(tar|oci|tgz|gz|zst)+$/g, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  const tag = entry.annotations[REF_NAME] ?? "latest";
  return (
    tryReference(`localhost/${component}:${tag}`) ??
    tryReference(`localhost/${component}:latest`) ??
    "localhost/image:latest"
  );
}

function namesOf(entry: IndexEntry): string[] {
  return [entry.annotations[REF_NAME], entry.annotations[CONTAINERD_NAME]].filter(
    (name) => name !== undefined,
  );
}

function tryReference(text: string): string | undefined {
  try {
    const reference = parseReference(text);
    return reference.digest === undefined ? formatReference(reference) : undefined;
  } catch {
    return undefined; // not usable as a name: the caller has another
  }
}

function notFound(what: string, tag: string | undefined, names: readonly string[]): KilnError {
  const sought = tag === undefined ? "no image" : `no image named ${tag}`;
  return new KilnError(Code.NotFound, `${what}: ${sought} in it${listing(names)}`, {
    reason: ImageReason.ImageNotFound,
  });
}

function ambiguous(what: string, names: readonly string[]): KilnError {
  return new KilnError(Code.InvalidArgument, `${what} holds several images${listing(names)}`, {
    reason: ImageReason.AmbiguousImage,
    hint: "name one of them after another colon: oci:/DIR:TAG",
  });
}

function listing(names: readonly string[]): string {
  if (names.length === 0) return "";
  return `; it has ${names.slice(0, 20).map(quoteServer).join(", ")}${names.length > 20 ? ", ..." : ""}`;
}
