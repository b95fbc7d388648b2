// What the tar reader says about one member of an archive, whichever dialect it was written in.

export type TarEntryType = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

/** Strings hold one char per byte (see base/tree.ts): a tar's names need not be UTF-8. */
export interface TarEntry {
  readonly type: TarEntryType;
  /** As the archive has it: not cleaned, perhaps absolute, perhaps with "..". Never holds NUL. */
  readonly path: string;
  /** Target of a symlink or hard link; "" otherwise. */
  readonly linkTarget: string;
  /** Permission bits: mode & 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  /** Logical bytes of a file, holes included; 0 for all other types. */
  readonly size: number;
  /** Device numbers; 0 for what is not a device. */
  readonly major: number;
  readonly minor: number;
  /** Of SCHILY.xattr.* records, unfiltered; absent where there are none. */
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
  /** Where the entry's own header lies in the uncompressed archive: for error messages. */
  readonly offset: number;
}

/** What TarParser.next() gives. `data` is a view on the pushed chunk: use it up before the next push. */
export type TarEvent =
  | { readonly type: "entry"; readonly entry: TarEntry }
  | { readonly type: "data"; readonly bytes: Uint8Array }
  | { readonly type: "hole"; readonly length: number }
  | { readonly type: "end" };
