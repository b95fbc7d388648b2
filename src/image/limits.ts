// Every bound of this room in one place. Registries, archives and images are hostile: whatever they send has a limit.

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** Sizes in bytes, times in milliseconds. */
export interface ImageLimits {
  /** Manifest or index, as sent. The distribution spec asks registries to take at least 4 MiB. */
  readonly manifestBytes: number;
  readonly configBytes: number;
  /** One layer, as stored. */
  readonly layerBytes: number;
  /** All layers of one image, as stored. */
  readonly imageBytes: number;
  readonly layers: number;
  /** Layers of one pull that are fetched at the same time. */
  readonly concurrentLayers: number;
  /** From the request to the answer's header, connecting included; also the whole of a small answer. */
  readonly answerMs: number;
  /** A body that gives less than 1 KiB in this time has stalled. */
  readonly stallMs: number;
  /** Tries of one request or, for a layer, tries without progress. */
  readonly attempts: number;
  /** First pause between tries; doubles up to `retryMaxMs`. */
  readonly retryBaseMs: number;
  readonly retryMaxMs: number;
  /** A longer Retry-After is not waited for: the pull fails and says how long the registry asked to wait. */
  readonly retryAfterMaxMs: number;
  readonly redirects: number;
  /** One run of a docker-credential-* program. */
  readonly helperMs: number;
  /** Free space that a pull leaves on the host's disk. */
  readonly diskReserveBytes: number;
  /** An interrupted pull is kept for so long. */
  readonly resumeMs: number;
}

export const DEFAULT_LIMITS: ImageLimits = {
  manifestBytes: 4 * MIB,
  configBytes: 4 * MIB,
  layerBytes: 32 * GIB,
  imageBytes: 128 * GIB,
  layers: 256,
  concurrentLayers: 4,
  answerMs: 60_000,
  stallMs: 30_000,
  attempts: 5,
  retryBaseMs: 500,
  retryMaxMs: 15_000,
  retryAfterMaxMs: 60_000,
  redirects: 5,
  helperMs: 30_000,
  diskReserveBytes: 64 * MIB,
  resumeMs: 7 * 24 * 3_600_000,
};
