// How much a layer may ask of us. Layers are hostile: every figure that a tar or a compressed stream controls is
// bounded here, so that a bomb ends in an error that names the limit and not in a full disk or a killed process.

import { Code, KilnError } from "../../base/errors.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export interface LayerLimits {
  /** Uncompressed bytes of one layer. */
  readonly maxLayerBytes: number;
  /** Uncompressed bytes of all layers of one image. */
  readonly maxImageBytes: number;
  /** Uncompressed bytes for one compressed byte, once a layer is larger than `ratioFreeBytes`. */
  readonly maxRatio: number;
  /** Every layer may grow to this size whatever its ratio: runs of zeros are common and harmless. */
  readonly ratioFreeBytes: number;
  /** Tar entries of all layers of one image. */
  readonly maxEntries: number;
  /** Bytes of an entry's whole path, and of a link's target. PATH_MAX without its NUL. */
  readonly maxPathBytes: number;
  /** Bytes of one path component, or of an extended attribute's name. NAME_MAX, XATTR_NAME_MAX. */
  readonly maxNameBytes: number;
  /** Directories above an entry, symlinks resolved. */
  readonly maxDepth: number;
  /** Symlinks followed for one path. */
  readonly maxSymlinks: number;
  /** Logical size of one file, holes included. */
  readonly maxFileBytes: number;
  /** Bytes of one extended attribute's value. XATTR_SIZE_MAX. */
  readonly maxXattrBytes: number;
  /** Bytes of all extended attributes of one inode, names and values. */
  readonly maxXattrTotalBytes: number;
  /** Bytes of one PAX header or GNU long name. */
  readonly maxExtensionBytes: number;
  /** Data extents of one sparse file. */
  readonly maxSparseExtents: number;
  /** Bytes of names, link targets and attributes of all entries of one image: what the merge keeps in memory. */
  readonly maxMetadataBytes: number;
}

/** Roomy for every real image that we know of. What uses them up costs the merging process about 2 GiB of memory. */
export const DEFAULT_LAYER_LIMITS: LayerLimits = {
  maxLayerBytes: 64 * GIB,
  maxImageBytes: 128 * GIB,
  maxRatio: 200,
  ratioFreeBytes: 2 * GIB,
  maxEntries: 2_000_000,
  maxPathBytes: 4095,
  maxNameBytes: 255,
  maxDepth: 1000,
  maxSymlinks: 255,
  maxFileBytes: 16 * 1024 * GIB - 4 * KIB,
  maxXattrBytes: 64 * KIB,
  maxXattrTotalBytes: 256 * KIB,
  maxExtensionBytes: MIB,
  maxSparseExtents: 1_000_000,
  maxMetadataBytes: 512 * MIB,
};

/** The defaults with some of them replaced. */
export function layerLimits(overrides: Partial<LayerLimits> = {}): LayerLimits {
  return { ...DEFAULT_LAYER_LIMITS, ...overrides };
}

/**
 * How far one layer may expand: the ratio counts only beyond `ratioFreeBytes`.
 *
 * @param compressedBytes the blob's size; for an uncompressed layer the ratio is 1 and never decides
 */
export function expansionLimit(compressedBytes: number, limits: LayerLimits): number {
  return Math.min(limits.maxLayerBytes, Math.max(limits.ratioFreeBytes, compressedBytes * limits.maxRatio));
}

/** The error for a limit that was passed; `limit` is the key of LayerLimits that would have to grow. */
export function limitExceeded(reason: string, message: string, limit: keyof LayerLimits): KilnError {
  return new KilnError(Code.ResourceExhausted, message, {
    reason,
    hint: `if the image is to be trusted, raise the layer limit ${limit}`,
    details: { limit },
  });
}
