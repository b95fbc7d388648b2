// What kilnd and the process that builds a base say to one another: one JSON request on its stdin, JSON lines on
// its stdout. The builder reads hostile images, so its answers are parsed strictly too.

import * as v from "valibot";
import { defined } from "../../base/defined.js";
import { Code, KilnError } from "../../base/errors.js";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** The layer limits that an administrator may set; those left out have the image room's defaults. */
const BuildLimitsSchema = v.strictObject({
  /** Uncompressed bytes of one layer. */
  maxLayerBytes: v.exactOptional(Count),
  /** Uncompressed bytes of all layers of an image. */
  maxImageBytes: v.exactOptional(Count),
  /** Uncompressed bytes for each compressed one. */
  maxRatio: v.exactOptional(Count),
  /** Whatever its ratio, a layer may grow to this. */
  ratioFreeBytes: v.exactOptional(Count),
  /** Files, directories, links and devices of all layers. */
  maxEntries: v.exactOptional(Count),
  /** Bytes of names, link targets and attributes: what a merge keeps in memory. */
  maxMetadataBytes: v.exactOptional(Count),
});
export type BuildLimits = v.InferOutput<typeof BuildLimitsSchema>;

export const BuildRequestSchema = v.strictObject({
  layers: v.array(
    v.strictObject({
      path: v.string(),
      digest: v.string(),
      diffId: v.string(),
      sizeBytes: Count,
      compression: v.picklist(["none", "gzip", "zstd"]),
    }),
  ),
  output: v.string(),
  diskBytes: Count,
  /** 64 hex: what the file system's UUID and hash seed are derived from. */
  identity: v.string(),
  limits: BuildLimitsSchema,
});
export type BuildRequest = v.InferOutput<typeof BuildRequestSchema>;

const BuildResultSchema = v.strictObject({
  sizeBytes: Count,
  inodes: Count,
  dataBytes: Count,
  hasInit: v.boolean(),
});
export type BuildResult = v.InferOutput<typeof BuildResultSchema>;

const ProgressSchema = v.object({
  id: v.string(),
  status: v.picklist([
    "resolving",
    "waiting",
    "downloading",
    "retrying",
    "verifying",
    "exists",
    "building",
    "extracting",
    "done",
  ]),
  current: v.exactOptional(v.number()),
  total: v.exactOptional(v.number()),
  message: v.exactOptional(v.string()),
});

const ErrorSchema = v.object({
  code: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16)),
  reason: v.string(),
  message: v.string(),
  hint: v.exactOptional(v.string()),
  details: v.record(v.string(), v.string()),
});

const BuildMessageSchema = v.union([
  v.strictObject({ progress: ProgressSchema }),
  v.strictObject({ result: BuildResultSchema }),
  v.strictObject({ error: ErrorSchema }),
]);
export type BuildMessage = v.InferOutput<typeof BuildMessageSchema>;

/** One line as the builder writes it. */
export function encodeMessage(message: BuildMessage): string {
  return `${JSON.stringify(message)}\n`;
}

/** Parses one line. @throws KilnError internal `base-builder-garbage` */
export function decodeMessage(line: string): BuildMessage {
  try {
    return v.parse(BuildMessageSchema, JSON.parse(line));
  } catch (error) {
    throw new KilnError(Code.Internal, "the base builder answered something that is no message", {
      reason: "base-builder-garbage",
      cause: error,
    });
  }
}

export function encodeError(error: KilnError): BuildMessage {
  const { code, reason, message, hint, details } = error;
  return { error: defined({ code, reason, message, details: { ...details }, hint }) };
}

export function decodeError(error: v.InferOutput<typeof ErrorSchema>): KilnError {
  return new KilnError(error.code as Code, error.message, {
    reason: error.reason,
    hint: error.hint,
    details: error.details,
  });
}
