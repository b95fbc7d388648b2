// The door of the image room: references, the store, and what other rooms may know of layers.

export { createImageStore, type ImageStoreOptions } from "./image-store.js";
export {
  DEFAULT_LAYER_LIMITS,
  type LayerBlob,
  type LayerLimits,
  type MergeOptions,
  type MergeResult,
  type MergeStats,
  mergeLayers,
  readTarEntries,
  type TarEntry,
  type TarEntryType,
  type TarMember,
} from "./layers/index.js";
export { DEFAULT_LIMITS, type ImageLimits } from "./limits.js";
export { formatPlatform, hostPlatform, normalisePlatform, parsePlatform, rankPlatform } from "./platform.js";
export { ImageReason } from "./reasons.js";
export {
  familiarName,
  formatReference,
  parseReference,
  type Reference,
  registryHost,
  repositoryName,
} from "./reference.js";
export { describeSource, type ImageSource, parseImageSource } from "./source.js";
export type {
  ImageRunConfig,
  ImageStore,
  ImportOptions,
  LayerInfo,
  Platform,
  PulledImage,
  PullOptions,
  RegistryCredentials,
  StoredImage,
} from "./types.js";
