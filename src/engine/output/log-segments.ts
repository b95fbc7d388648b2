// The files that hold one VM's output: `<boot>-<first sequence>.log`, in order of time when sorted by name. Owns
// their names, their repair after a kill, and how many are kept.

import { open, readdir, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.js";
import { FRAME_HEADER_BYTES, type LogRecord, MAX_FRAME_DATA, parseFrame } from "./log-format.js";

export interface Segment {
  readonly path: string;
  readonly name: string;
  readonly boot: number;
  readonly firstSequence: bigint;
}

const NAME = /^([0-9]{8})-([0-9]{20})\.log$/;

export function segmentName(boot: number, firstSequence: bigint): string {
  return `${String(boot).padStart(8, "0")}-${String(firstSequence).padStart(20, "0")}.log`;
}

/** All segments of a directory, oldest first; none where there is no directory, or something else in its place. */
export async function listSegments(directory: string): Promise<Segment[]> {
  let names: string[];
  try {
    const found = await readdir(directory, { withFileTypes: true });
    names = found.filter((entry) => entry.isFile()).map(({ name }) => name);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return [];
    throw error;
  }
  const segments: Segment[] = [];
  for (const name of names.sort()) {
    const match = NAME.exec(name);
    if (match === null) continue;
    const path = join(directory, name);
    segments.push({ path, name, boot: Number(match[1]), firstSequence: BigInt(match[2] ?? 0) });
  }
  return segments;
}

/** One frame's place in its segment, for reading backwards. */
export interface FramePlace {
  readonly offset: number;
  readonly record: LogRecord;
}

const READ_BYTES = FRAME_HEADER_BYTES + MAX_FRAME_DATA;

/**
 * The whole frames of a segment from `offset` on, up to its present end or the first damage.
 *
 * The records' data is valid until the next step only: the buffer is used again.
 */
export async function* scanSegment(path: string, offset = 0): AsyncGenerator<FramePlace & { end: number }> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return; // rotated away meanwhile
    throw error;
  }
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    let position = offset;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position);
      const view = buffer.subarray(0, bytesRead);
      let at = 0;
      for (;;) {
        const parsed = parseFrame(view, at);
        if (parsed.kind === "corrupt") return;
        if (parsed.kind === "incomplete") break;
        yield { offset: position + at, record: parsed.record, end: position + parsed.end };
        at = parsed.end;
      }
      if (at === 0) return;
      position += at;
    }
  } finally {
    await file.close();
  }
}

export interface Resume {
  /** The segment to append to; undefined where the boot has none yet. */
  readonly segment: Segment | undefined;
  readonly size: number;
  /** One past the last byte that is safely on disk. */
  readonly nextSequence: bigint;
  readonly lastTimeNs: bigint;
}

/** Finds where a boot's output goes on, and cuts a record that a kill tore. */
export async function resumeBoot(directory: string, boot: number): Promise<Resume> {
  const last = (await listSegments(directory)).filter((segment) => segment.boot === boot).at(-1);
  if (last === undefined) return { segment: undefined, size: 0, nextSequence: 0n, lastTimeNs: 0n };
  let size = 0;
  let nextSequence = last.firstSequence;
  let lastTimeNs = 0n;
  for await (const { end, record } of scanSegment(last.path)) {
    size = end;
    nextSequence = record.sequence + BigInt(record.data.length);
    lastTimeNs = record.timeNs;
  }
  if ((await stat(last.path)).size !== size) await truncate(last.path, size);
  return { segment: last, size, nextSequence, lastTimeNs };
}

/** Each boot has one at least: what ends and comes back for weeks would leave more files than anybody can read. */
const MOST_SEGMENTS = 4096;

/** Removes the oldest segments until the rest fits; the newest always stays. @param most files that are kept */
export async function dropOldest(directory: string, keepBytes: number, most = MOST_SEGMENTS): Promise<void> {
  const segments = await listSegments(directory);
  let total = 0;
  for (const [newer, { path }] of segments.reverse().entries()) {
    const { size } = await stat(path);
    const isTooMuch = newer >= most || (total > 0 && total + size > keepBytes);
    if (isTooMuch) await rm(path, { force: true });
    total += size;
  }
}
