// Files of a guest. Paths and names are bytes, as Linux has them, but for tar streams and StatPath, whose paths are text.

import type { Client } from "@connectrpc/connect";
import type { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import {
  FileEventKind,
  type DirectoryEntry as WireEntry,
  type FileEvent as WireEvent,
} from "../gen/kiln/agent/v1/files_pb.js";
import { boundedCount } from "./guest-numbers.js";
import type { CallLimits } from "./limits.js";

/** What is at a path of a guest. */
export interface PathStat {
  readonly name: string;
  readonly size: bigint;
  /** st_mode. */
  readonly mode: number;
  readonly mtimeUnixNs: bigint;
  /** Bytes that are not UTF-8 replaced: for people. */
  readonly linkTarget: string;
  readonly linkTargetBytes: Uint8Array;
}

/** What a directory of a guest holds under one name. */
export interface DirectoryEntry {
  readonly name: Uint8Array;
  /** st_mode. */
  readonly mode: number;
  readonly size: bigint;
  readonly mtimeUnixNs: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly linkTarget: Uint8Array;
}

/** What happened to a file or directory; `overflow`: more than can be told. */
export type FileEventWord = "created" | "modified" | "attributes" | "removed" | "renamed" | "overflow";

/** A change of a file or directory that is watched in a guest. */
export interface FileEvent {
  readonly kind: FileEventWord;
  readonly path: Uint8Array;
  /** Of "renamed". */
  readonly to: Uint8Array;
  readonly directory: boolean;
}

/** A directory to be made. */
export interface NewDirectory {
  readonly path: Uint8Array;
  /** Parents too; fine where it is there. */
  readonly recursive: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** How a tar stream is unpacked: directories merge, files are replaced, neither takes the other's place. */
export interface UnpackOrder {
  readonly directory: string;
  readonly keepOwner: boolean;
  /** "." in the archive gives the directory its owner, mode and times; else it keeps them. */
  readonly dressDirectory?: boolean;
}

export interface GuestFiles {
  /** A path as a tar stream whose names begin with the path's base name. */
  readArchive(path: string, followLink: boolean, limits?: CallLimits): AsyncIterable<Uint8Array>;
  writeArchive(
    order: UnpackOrder,
    tar: AsyncIterable<Uint8Array>,
    limits?: CallLimits,
  ): Promise<{ readonly entries: bigint; readonly bytes: bigint }>;
  stat(path: string, limits?: CallLimits): Promise<PathStat>;
  list(path: Uint8Array, limits?: CallLimits): AsyncIterable<DirectoryEntry[]>;
  /** @returns whether it was made: with `recursive` it may be there */
  makeDirectory(directory: NewDirectory, limits?: CallLimits): Promise<boolean>;
  remove(
    what: { readonly path: Uint8Array; readonly recursive: boolean; readonly force: boolean },
    limits?: CallLimits,
  ): Promise<void>;
  rename(
    what: { readonly from: Uint8Array; readonly to: Uint8Array; readonly noReplace: boolean },
    limits?: CallLimits,
  ): Promise<void>;
  /** The first item is empty: from there on nothing is missed. Ends when the path is gone. */
  watch(
    what: { readonly path: Uint8Array; readonly recursive: boolean },
    limits?: CallLimits,
  ): AsyncIterable<FileEvent[]>;
}

const WORDS: Readonly<Partial<Record<FileEventKind, FileEventWord>>> = {
  [FileEventKind.CREATED]: "created",
  [FileEventKind.MODIFIED]: "modified",
  [FileEventKind.ATTRIBUTES]: "attributes",
  [FileEventKind.REMOVED]: "removed",
  [FileEventKind.RENAMED]: "renamed",
  [FileEventKind.OVERFLOW]: "overflow",
};

export function filesOver(client: Client<typeof AgentService>): GuestFiles {
  return {
    async *readArchive(path, followLink, limits) {
      for await (const { data } of client.readArchive({ path, followLink }, limits)) yield data;
    },
    writeArchive: async (order, tar, limits) => {
      const { entries, bytes } = await client.writeArchive(unpackRequests(order, tar), limits);
      return { entries: boundedCount(entries), bytes: boundedCount(bytes) };
    },
    stat: async (path, limits) => {
      const { name, size, mode, mtimeUnixNs, ...link } = await client.statPath({ path }, limits);
      const { linkTarget, linkTargetBytes } = link;
      return { name, size: boundedCount(size), mode, mtimeUnixNs, linkTarget, linkTargetBytes };
    },
    async *list(path, limits) {
      for await (const { entries } of client.listDirectory({ path }, limits)) yield entries.flatMap(toEntry);
    },
    makeDirectory: async (directory, limits) => (await client.makeDirectory({ ...directory }, limits)).made,
    remove: async (what, limits) => {
      await client.removePath({ ...what }, limits);
    },
    rename: async (what, limits) => {
      await client.renamePath({ ...what }, limits);
    },
    async *watch(what, limits) {
      for await (const { ready, events } of client.watchPath({ ...what }, limits)) {
        const known = events.flatMap(toEvent);
        if (ready || known.length > 0) yield known;
      }
    },
  };
}

/** As docker cp: no directory is thrown away for a file, and no file for a directory. */
async function* unpackRequests(order: UnpackOrder, tar: AsyncIterable<Uint8Array>) {
  const { directory, keepOwner, dressDirectory = false } = order;
  const value = { directory, keepOwner, noOverwriteDirNonDir: true, dressDirectory };
  yield { message: { case: "start" as const, value } };
  for await (const data of tar) yield { message: { case: "data" as const, value: data } };
}

const MOST_NAME = 255;
const SLASH = 0x2f;

/** A name that no directory can hold is left out: whoever builds a path of it would come out elsewhere. */
function toEntry({ name, size, mode, mtimeUnixNs, uid, gid, linkTarget }: WireEntry): DirectoryEntry[] {
  const isName = name.length > 0 && name.length <= MOST_NAME && !name.includes(SLASH) && !name.includes(0);
  if (!isName || isDots(name)) return [];
  return [{ name, size: boundedCount(size), mode, mtimeUnixNs, uid, gid, linkTarget }];
}

function isDots(name: Uint8Array): boolean {
  return name.length <= 2 && name.every((byte) => byte === 0x2e);
}

/** A kind that a later agent may have is no event of ours. */
function toEvent({ kind, path, to, directory }: WireEvent): FileEvent[] {
  const word = WORDS[kind];
  return word === undefined ? [] : [{ kind: word, path, to, directory }];
}
