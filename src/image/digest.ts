// Digests: "sha256:" and 64 lower-case hex digits (image-spec, descriptor.md). Nothing else names a blob here.

import { createHash } from "node:crypto";
import { Code, KilnError } from "../base/errors.js";
import { ImageReason } from "./reasons.js";

const SHA256 = /^sha256:[a-f0-9]{64}$/;
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/** True for a digest that the store can hold. */
export function isDigest(text: string): boolean {
  return SHA256.test(text);
}

/**
 * The digest, checked.
 *
 * @param what whose digest it is, for the error
 * @throws KilnError invalid_argument `unsupported-digest` for another algorithm, `invalid-manifest` for no digest at all
 */
export function checkDigest(text: string, what: string): string {
  if (SHA256.test(text)) return text;
  const shown = JSON.stringify(text.slice(0, 80));
  if (ANY_DIGEST.test(text) && !text.startsWith("sha256:")) {
    throw new KilnError(Code.Unimplemented, `${what}: digest ${shown} is not sha256`, {
      reason: ImageReason.UnsupportedDigest,
      hint: "kiln stores blobs by sha256 only; push the image with sha256 digests",
    });
  }
  throw new KilnError(Code.InvalidArgument, `${what}: ${shown} is not a digest`, {
    reason: ImageReason.InvalidManifest,
  });
}

/** The 64 hex digits of a checked digest: its file name in the store. */
export function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
