// An ext4 disk with nothing on it but one directory: a new volume.

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { KilnError } from "../base/errors.js";
import { syncDirectory } from "../base/files.js";
import type { DirectoryInode } from "../base/tree.js";
import { createExt4Sink } from "./ext4/sink.js";

export interface EmptyDiskOptions {
  /** Of the sparse file; a multiple of 4096. */
  readonly sizeBytes: number;
  /** What UUID and hash seed derive from. */
  readonly identity: string;
  /** Name of the one directory in its root, root's and 0755: what is shown of a volume, so that `lost+found` is not. */
  readonly directory: string;
  readonly now?: () => number;
}

/**
 * Writes it to `path`, where no file may be: with a journal, and so that a guest's kernel can grow it while it is mounted.
 *
 * @throws KilnError invalid_argument `bad-disk-size`, resource_exhausted `disk-too-small`, `host-disk-full`
 */
export async function createEmptyDisk(path: string, options: EmptyDiskOptions): Promise<void> {
  const { sizeBytes, identity, directory, now = Date.now } = options;
  const mtimeNs = BigInt(now()) * 1_000_000n;
  const sink = await createExt4Sink(path, {
    sizeBytes,
    identity,
    mtimeNs,
    label: labelOf(identity),
    growable: true,
  });
  try {
    const made = emptyDirectory(mtimeNs);
    await sink.finish({ ...emptyDirectory(mtimeNs), entries: new Map([[directory, made]]) });
    await syncDirectory(dirname(path));
  } catch (error) {
    throw KilnError.from(error, `make the disk ${path}`);
  } finally {
    await sink.abort();
  }
}

/** For whoever looks at the disk from inside of a guest or after a loss: 16 bytes are what ext4 has room for. */
function labelOf(identity: string): string {
  return `kiln-${createHash("sha256").update(identity).digest("hex").slice(0, 11)}`;
}

function emptyDirectory(mtimeNs: bigint): DirectoryInode {
  return { type: "directory", entries: new Map(), mode: 0o755, uid: 0, gid: 0, mtimeNs };
}
