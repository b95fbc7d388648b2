// A file tree on its way from layers to a disk: made by the layer merge (image), written by a file sink (disk).
// Names are bytes: a tar may hold names that are not UTF-8, so they travel as latin1 strings, one char per byte.

/** Where a regular file's data went; opaque to everybody but the sink that gave it. */
export interface DataRef {
  /** Logical size in bytes, holes included. */
  readonly size: number;
}

/** Attributes that every inode has. Shared by all hard links of it. */
export interface InodeAttributes {
  /** Permission bits incl. setuid, setgid, sticky: mode & 07777. */
  mode: number;
  uid: number;
  gid: number;
  /** Nanoseconds since 1970; may be negative. */
  mtimeNs: bigint;
  /** Full names ("security.capability") to raw values. POSIX ACLs in the syscall form (acl(5) xattr, version 2). */
  xattrs?: ReadonlyMap<string, Uint8Array>;
}

export type Inode =
  | ({ readonly type: "file"; data: DataRef; links: number } & InodeAttributes)
  | ({ readonly type: "symlink"; target: string; links: number } & InodeAttributes)
  | ({ readonly type: "char" | "block"; major: number; minor: number; links: number } & InodeAttributes)
  | ({ readonly type: "fifo" | "socket"; links: number } & InodeAttributes)
  | DirectoryInode;

export type DirectoryInode = {
  readonly type: "directory";
  readonly entries: Map<string, Inode>;
} & InodeAttributes;

/** Takes the data of one regular file, in order. */
export interface FileWriter {
  /** Appends; the buffer may be reused by the caller once the call returns (or its promise resolves). */
  write(chunk: Uint8Array): void | Promise<void>;
  /** Appends a hole. */
  hole(length: number): void;
  /** @throws KilnError where fewer bytes than announced were given */
  close(): DataRef | Promise<DataRef>;
}

/**
 * Takes a tree and makes a file system image of it. Lifecycle: any number of createFile/free in any order, at most
 * one FileWriter open at a time; then `finish` once with the final tree, or `abort`.
 */
export interface FileSink {
  /** @param size the exact logical size. Throws KilnError resource_exhausted `disk-too-small` when it can't fit. */
  createFile(size: number): FileWriter;
  /** Gives the data of a hidden or replaced file back. */
  free(data: DataRef): void;
  /** Writes everything that is left; the file is complete, synced and closed after it. */
  finish(root: DirectoryInode): Promise<SinkResult>;
  /** Closes without completing; the caller removes the file. */
  abort(): Promise<void>;
}

export interface SinkResult {
  /** Size of the image file (sparse). */
  readonly sizeBytes: number;
  readonly inodes: number;
  readonly dataBytes: number;
  /** What was left out because this kind of file system can't hold it, such as foreign xattrs; bounded. */
  readonly warnings?: readonly string[];
}
