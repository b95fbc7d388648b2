// The serials of Firecracker's disks. It takes none from us: it makes each of the opened file, as kvmtool does, of the
// numbers of its device, of the device that it is and of its inode, one behind the other, cut to what virtio-blk carries
// (VirtioBlock's build_device_id). A bind mount and a hard link are the same file, so that kilnd and the jail see the same.

import { lstat } from "node:fs/promises";
import { type DiskSerials, distinctSerials, SERIAL_BYTES } from "../disk-serials.js";
import type { DiskSpec } from "../types.js";

/** Of a file, as fs.BigIntStats has them: inodes have 64 bits. */
export interface FileNumbers {
  readonly dev: bigint;
  readonly rdev: bigint;
  readonly ino: bigint;
}

/** Pure. */
export function serialOfFile({ dev, rdev, ino }: FileNumbers): string {
  // Node reads them with a sign.
  const words = [dev, rdev, ino].map((number) => BigInt.asUintN(64, number));
  return words.join("").slice(0, SERIAL_BYTES);
}

/** Of the files of disks that are there; others have none. Their directories are kilnd's: the names stay those files'. */
export async function serialsOfFiles(disks: readonly DiskSpec[]): Promise<DiskSerials> {
  const found = await Promise.all(
    disks.map(async ({ id, path }) => {
      const numbers = await lstat(path, { bigint: true }).catch(() => undefined);
      return numbers === undefined ? [] : [[id, serialOfFile(numbers)] as const];
    }),
  );
  return distinctSerials(found.flat());
}
