// The door of the disk room: ext4 images, cow files, disks made of directories.

export {
  COW_CHUNK_BYTES,
  type CowBase,
  type CowRecord,
  type CowUsage,
  checkCow,
  cowRecordPath,
  cowUsage,
  createCow,
  planCowSize,
  removeCow,
} from "./cow.js";
export { createExt4Sink, type Ext4Options } from "./ext4/sink.js";
export { buildDiskFromDirectory, type DirectoryDiskOptions } from "./from-directory.js";
