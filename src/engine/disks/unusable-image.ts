// What is said of an image that no disk can be made of: damaged, hostile, or beyond a limit. The error speaks of
// settings that an administrator can change. Pure.

import { Code, KilnError } from "../../base/errors.js";
import type { BuildLimits } from "../common/base-protocol.js";

/** The setting of each limit that has one; what passes the others is never an honest image. */
const SETTINGS: Readonly<Record<keyof BuildLimits, string>> = {
  maxLayerBytes: "layers.max-layer",
  maxImageBytes: "layers.max-image",
  maxRatio: "layers.max-ratio",
  ratioFreeBytes: "layers.ratio-free",
  maxEntries: "layers.max-entries",
  maxMetadataBytes: "layers.max-metadata",
};

/** The error with its context, and with a hint that names the setting where a limit was passed. */
export function explainUnusable(error: unknown, what?: string): KilnError {
  const known = KilnError.from(error, what);
  const { limit } = known.details;
  if (limit === undefined) return known;
  const setting: string | undefined = (SETTINGS as Readonly<Record<string, string>>)[limit];
  const hint =
    setting === undefined
      ? "don't use this image: nothing that builds images makes such layers"
      : `if the image is to be trusted, raise ${setting} in config.toml`;
  const { code, message, reason, details } = known;
  return new KilnError(code, message, { reason, details, hint, cause: error });
}

/** True where the image itself is the cause, and a next try would find the same. */
export function isImagesFault(error: unknown): boolean {
  if (!(error instanceof KilnError)) return false;
  const { code, details } = error;
  return code === Code.DataLoss || code === Code.InvalidArgument || details.limit !== undefined;
}
