// What calls of `vm.fs` are told, and what copies give.

import type { CallOptions } from "./deadline.js";
import { CALL, type NamesOf } from "./known-options.js";

/** Options of `vm.fs.read()`. */
export interface ReadOptions extends CallOptions {
  /** A longer file is refused. Default 256 MiB. */
  readonly maxBytes?: number | undefined;
}

export const READ_OPTIONS: NamesOf<ReadOptions> = { ...CALL, maxBytes: true };

/** Options of `vm.fs.write()`. */
export interface WriteOptions extends CallOptions {
  /** Permission bits. Default 0644. */
  readonly mode?: number | undefined;
  /** Numeric owner. Default: root. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export const WRITE_OPTIONS: NamesOf<WriteOptions> = { ...CALL, mode: true, uid: true, gid: true };

/** Options of copies and archives. */
export interface CopyOptions extends CallOptions {
  /** Follows the source itself where it is a symbolic link. */
  readonly followLink?: boolean | undefined;
  /** Keeps numeric owners, and set-user-id bits on the way out. */
  readonly keepOwner?: boolean | undefined;
  /** Told of what is left out: sockets, and devices on the way out. */
  readonly onSkip?: ((path: string, why: string) => void) | undefined;
}

export const COPY_OPTIONS: NamesOf<CopyOptions> = {
  ...CALL,
  followLink: true,
  keepOwner: true,
  onSkip: true,
};

/** What was unpacked. */
export interface ArchiveResult {
  readonly entries: number;
  readonly bytes: number;
  /** The VM does not run: kilnd keeps the archive, and it is unpacked at the next start, before the program begins. */
  readonly pending: boolean;
}
