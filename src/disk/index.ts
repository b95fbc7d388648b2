// The door of the disk room: ext4 images, cow files, disks made of directories.

export { type CowBase, type CowRecord, checkCow, createCow } from "./cow.js";
export { createEmptyDisk, type EmptyDiskOptions } from "./empty-disk.js";
export { createExt4Sink, type Ext4Options } from "./ext4/sink.js";
export { buildDiskFromDirectory, type DirectoryDiskOptions } from "./from-directory.js";
