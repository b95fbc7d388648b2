// The door of the layers: reading tars, decompressing, merging. What else is in here is nobody's business.

export type { ByteStream } from "./byte-stream.js";
export {
  COMPRESSION_MAGIC_BYTES,
  type Compression,
  detectCompression,
} from "./compression.js";
export { type DecompressOptions, decompress } from "./decompress.js";
export { explainLayerError, type LayerBlob, LayerReader, type LayerReaderOptions } from "./layer-reader.js";
export { DEFAULT_LAYER_LIMITS, expansionLimit, type LayerLimits, layerLimits } from "./limits.js";
export { type MergeOptions, type MergeResult, type MergeStats, mergeLayers } from "./merge.js";
export { openPlainTar, type PlainTar } from "./plain-tar.js";
export type { TarEntry, TarEntryType, TarEvent } from "./tar-entry.js";
export { TarParser } from "./tar-parser.js";
export { readTarEntries, type TarMember } from "./tar-reader.js";
