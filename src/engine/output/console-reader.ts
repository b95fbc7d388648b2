// The kernel's console of a VM, from the bounded file that its VMM's driver writes.

import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { errnoOf } from "../../base/errors.js";
import { delay } from "../../base/runtime.js";
import type { OutputPlace } from "./log-position.js";

/** What was written, and the place behind it. */
export interface ConsoleChunk {
  readonly data: Uint8Array;
  /** `boot` stands for the file: a boot, and each rotation, begins another. */
  readonly next: OutputPlace;
}

export interface ReadConsoleOptions {
  /** Goes on there; with what is kept where that file is gone. `tail` does not count then. */
  readonly after?: OutputPlace | undefined;
  /** Lines of the end to begin with; absent: everything that is kept. */
  readonly tail?: number | undefined;
  /** Goes on while this holds. */
  readonly following?: () => boolean;
  readonly signal?: AbortSignal | undefined;
}

const CHUNK = 64 * 1024;
/** Nobody tells us of new bytes: the file is looked at so often. */
const LOOK_MS = 200;
const NEWLINE = 0x0a;

/** The console's bytes; nothing where there is no file. */
export async function* readConsole(path: string, options: ReadConsoleOptions): AsyncGenerator<ConsoleChunk> {
  const { after } = options;
  let place = { inode: 0, offset: after === undefined ? await startOf(path, options.tail) : 0 };
  place.inode = (await look(path))?.inode ?? 0;
  if (after?.boot === nameOf(place.inode)) place.offset = Number(after.sequence);
  for (;;) {
    const goesOn = options.following?.() ?? false;
    const now = await look(path);
    // Rotated: the file is a new one.
    if (now !== undefined && now.inode !== place.inode) place = { inode: now.inode, offset: 0 };
    for await (const chunk of readFrom(path, place.offset)) {
      place.offset += chunk.length;
      yield { data: chunk, next: { boot: nameOf(place.inode), sequence: BigInt(place.offset) } };
    }
    if (!goesOn) return;
    await delay(LOOK_MS, options.signal);
  }
}

/** A number that places can hold. */
function nameOf(inode: number): number {
  return inode % 2 ** 32;
}

async function look(path: string): Promise<{ inode: number; size: number } | undefined> {
  try {
    const found = await lstat(path);
    // A link would lead to a file that is none of the VM's.
    return found.isFile() ? { inode: found.ino, size: found.size } : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function* readFrom(path: string, from: number): AsyncGenerator<Uint8Array> {
  if ((await look(path)) === undefined) return;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    // A second name is another file's of the host that was linked here.
    if ((await file.stat()).nlink > 1) return;
    for (let at = from; ; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function startOf(path: string, tail: number | undefined): Promise<number> {
  const size = (await look(path))?.size ?? 0;
  if (tail === undefined) return 0;
  if (tail === 0) return size;
  const starts: number[] = [0];
  let at = 0;
  for await (const chunk of readFrom(path, 0)) {
    for (let found = chunk.indexOf(NEWLINE); found >= 0; found = chunk.indexOf(NEWLINE, found + 1)) {
      if (at + found + 1 < size) starts.push(at + found + 1);
    }
    at += chunk.length;
  }
  return starts.at(-tail) ?? 0;
}
