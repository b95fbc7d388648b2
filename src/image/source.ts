// What a user may write where an image is asked for: a registry reference, or a place on disk named as skopeo names it
// (containers-transports(5)).

import { isAbsolute } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { ImageReason } from "./reasons.js";
import { formatReference, parseReference, type Reference } from "./reference.js";

export type ImageSource =
  | { readonly kind: "registry"; readonly reference: Reference }
  | { readonly kind: "oci"; readonly path: string; readonly tag?: string }
  | { readonly kind: "oci-archive"; readonly path: string; readonly tag?: string }
  /** At most one of reference and index. */
  | {
      readonly kind: "docker-archive";
      readonly path: string;
      readonly reference?: Reference;
      readonly index?: number;
    };

const ON_DISK = /^(oci|oci-archive|docker-archive):(?!\/\/)(.*)$/s;
const MAX_PATH = 4096;
// what containers/image takes for org.opencontainers.image.ref.name
const LAYOUT_TAG = /^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+|\/[A-Za-z0-9]+)*$/;

/**
 * Parses a source. A transport's word wins over an image of that name: `oci:x` is a layout; write `docker://oci:x` for
 * the image "oci".
 *
 * @throws KilnError invalid_argument `invalid-image-source`, `invalid-reference`
 */
export function parseImageSource(text: string): ImageSource {
  const match = ON_DISK.exec(text);
  if (match === null) return { kind: "registry", reference: parseReference(text) };
  const kind = match[1] as "oci" | "oci-archive" | "docker-archive";
  const { path, rest } = splitPath(text, match[2] ?? "");
  if (kind === "docker-archive") return { kind, path, ...parseArchiveChoice(text, rest) };
  if (rest === undefined) return { kind, path };
  if (rest.length > 255 || !LAYOUT_TAG.test(rest)) throw invalid(text, `"${rest}" is not a tag`);
  return { kind, path, tag: rest };
}

/** One line for messages and progress. */
export function describeSource(source: ImageSource): string {
  if (source.kind === "registry") return formatReference(source.reference);
  const choice =
    source.kind === "docker-archive"
      ? source.reference !== undefined
        ? `:${formatReference(source.reference)}`
        : source.index !== undefined
          ? `:@${source.index}`
          : ""
      : source.tag !== undefined
        ? `:${source.tag}`
        : "";
  return `${source.kind}:${source.path}${choice}`;
}

function splitPath(text: string, value: string): { path: string; rest?: string } {
  const colon = value.indexOf(":");
  const path = colon < 0 ? value : value.slice(0, colon);
  if (path === "" || path.length > MAX_PATH || path.includes("\0")) throw invalid(text, "it names no path");
  // The daemon's working directory is not the user's: a relative path would silently mean another place.
  if (!isAbsolute(path)) throw invalid(text, `the path "${path}" must be absolute`);
  return colon < 0 ? { path } : { path, rest: value.slice(colon + 1) };
}

function parseArchiveChoice(
  text: string,
  rest: string | undefined,
): { reference?: Reference; index?: number } {
  if (rest === undefined) return {};
  const index = /^@([0-9]{1,4})$/.exec(rest);
  if (index !== null) return { index: Number(index[1]) };
  const reference = parseReference(rest);
  if (reference.digest !== undefined)
    throw invalid(text, "images in an archive are chosen by tag, not by digest");
  return { reference };
}

function invalid(text: string, why: string): KilnError {
  return new KilnError(
    Code.InvalidArgument,
    `${JSON.stringify(text.slice(0, 256))} is not an image source: ${why}`,
    {
      reason: ImageReason.InvalidSource,
      hint: "write oci:/DIR[:TAG], oci-archive:/FILE[:TAG], docker-archive:/FILE[:NAME:TAG] or an image reference",
    },
  );
}
