// The door of the image room: references, the store, and what other rooms may know of layers.

export { createImageStore, type ImageStoreOptions } from "./image-store.js";
export {
  type LayerBlob,
  type LayerLimits,
  type MergeOptions,
  type MergeResult,
  type MergeStats,
  mergeLayers,
  openPlainTar,
} from "./layers/index.js";
export type { ImageLimits } from "./limits.js";
export { formatPlatform, parsePlatform, rankPlatform } from "./platform.js";
export { familiarName, fullName, type Reference } from "./reference.js";
export { type ImageSource, parseImageSource } from "./source.js";
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
