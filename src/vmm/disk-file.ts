// A disk's file or block device as kilnd opens it: once, by its name, without following a link at its end.

import { constants } from "node:fs";
import { type FileHandle, readFile } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import { Pinned } from "../base/pinned.js";

const SECTOR_BYTES = 512;

export interface DiskFile {
  readonly path: string;
  readonly writable: boolean;
  readonly device: boolean;
}

/** Open as the VMM may use it. @throws KilnError as `Pinned.open`, permission_denied */
export async function openDisk({ path, writable, device }: DiskFile): Promise<FileHandle> {
  await using pinned = await Pinned.open(path, { kind: device ? "device" : "file" });
  return await pinned.reopen(writable ? constants.O_RDWR : constants.O_RDONLY).catch((error: unknown) => {
    throw KilnError.from(error);
  });
}

/** What it has room for. */
export async function sizeOfDisk(file: FileHandle): Promise<number> {
  const stats = await file.stat({ bigint: true });
  if (!stats.isBlockDevice()) return Number(stats.size);
  // The kernel's own word; a device's stat has no size.
  const [major, minor] = [
    (stats.rdev >> 8n) & 0xfffn,
    (stats.rdev & 0xffn) | ((stats.rdev >> 12n) & 0xfff00n),
  ];
  const sectors = Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, "utf8"));
  if (Number.isSafeInteger(sectors * SECTOR_BYTES)) return sectors * SECTOR_BYTES;
  throw new KilnError(Code.Internal, "the kernel tells no size of the device", { reason: "no-device-size" });
}
