// Which directory a share's source is, beyond its path: a server that takes a dead one's place must serve the same one, or the
// guest's files would become others under its hands.

import { type FileHandle, statfs } from "node:fs/promises";
import * as v from "valibot";

const Text = v.pipe(v.string(), v.maxLength(4096));

/** Of the directory that a server is given; numbers as text, since they may have 64 bits. */
export const SourceIdentitySchema = v.object({
  dev: Text,
  /** Inode and time of birth: a directory that is removed and made again often gets the same inode, never the same time. */
  ino: v.optional(Text),
  born: v.optional(Text),
  /** Where it lies, on file systems whose inodes have no lasting numbers. */
  place: v.optional(Text),
  /** Name in it of the one file that is shared. Its inode is not told: editors put another one in its place. */
  file: v.optional(Text),
});

export type SourceIdentity = v.InferOutput<typeof SourceIdentitySchema>;

/** Of <linux/magic.h>. FUSE numbers an inode whenever it is looked up; overlayfs gives one the birth of its copy. */
const FUSE = 0x65735546n;
const OVERLAY = 0x794c7630n;

/** @param place where it lies, with no link on the way @param file name of the one file that is shared */
export async function identityOf(
  directory: FileHandle,
  place: string,
  file: string | undefined,
): Promise<SourceIdentity> {
  const { dev, ino, birthtimeNs } = await directory.stat({ bigint: true });
  const { type } = await statfs(`/proc/self/fd/${directory.fd}`, { bigint: true });
  const only = file === undefined ? {} : { file };
  if (type === FUSE) return { dev: String(dev), place, ...only };
  const born = type === OVERLAY ? {} : { born: String(birthtimeNs) };
  return { dev: String(dev), ino: String(ino), ...born, ...only };
}

export function isSame(one: SourceIdentity, other: SourceIdentity): boolean {
  const words = ({ dev, ino, born, place, file }: SourceIdentity) => [dev, ino, born, place, file];
  const others = words(other);
  return words(one).every((word, at) => word === others[at]);
}
