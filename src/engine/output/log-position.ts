// Places in a VM's output: the start, the end, and the beginning of the last n lines.

import { stat } from "node:fs/promises";
import { listSegments, scanSegment, segmentName } from "./log-segments.js";

/** A place between two frames, or `skipBytes` into the frame that begins there. */
export interface LogPosition {
  /** Name of the segment; segments sort by time. "" comes before all. */
  readonly segment: string;
  readonly offset: number;
  readonly skipBytes: number;
}

export const START: LogPosition = { segment: "", offset: 0, skipBytes: 0 };

/** A place as clients know it: how segments are cut is none of their business. */
export interface OutputPlace {
  readonly boot: number;
  /** Counts bytes over both streams since that boot. */
  readonly sequence: bigint;
}

const NEWLINE = 0x0a;

/** The place after the last byte on disk. */
export async function positionAtEnd(directory: string): Promise<LogPosition> {
  const last = (await listSegments(directory)).at(-1);
  if (last === undefined) return START;
  return { segment: last.name, offset: (await stat(last.path)).size, skipBytes: 0 };
}

/** Where that boot's output goes on at a sequence number; the first place after it that is still kept. */
export async function positionOf(directory: string, boot: number, sequence: bigint): Promise<LogPosition> {
  const wanted = segmentName(boot, sequence);
  const segments = (await listSegments(directory)).filter(
    (each) => each.boot === boot && each.name <= wanted,
  );
  const segment = segments.at(-1);
  if (segment === undefined) return { segment: wanted, offset: 0, skipBytes: 0 };
  let position = { segment: segment.name, offset: 0, skipBytes: 0 };
  for await (const { offset, end, record } of scanSegment(segment.path)) {
    if (record.sequence + BigInt(record.data.length) > sequence) {
      const skipBytes = Math.max(0, Number(sequence - record.sequence));
      return { ...position, offset, skipBytes };
    }
    position = { ...position, offset: end };
  }
  return position;
}

/**
 * Where the last `lines` lines begin; bytes after the last newline count as a line. Reads whole segments, newest
 * first, and stops as soon as enough newlines were seen.
 */
export async function positionOfTail(directory: string, lines: number): Promise<LogPosition> {
  if (lines === 0) return positionAtEnd(directory);
  let missing = lines;
  let last = true;
  for (const segment of (await listSegments(directory)).reverse()) {
    const frames: Frame[] = [];
    for await (const { offset, record } of scanSegment(segment.path)) {
      frames.push({ offset, newlines: newlinesIn(record.data), endsLine: record.data.at(-1) === NEWLINE });
    }
    for (const frame of frames.reverse()) {
      // A newline at the very end closes the last line; every other one comes before a line we count.
      const separators = frame.newlines - (last && frame.endsLine ? 1 : 0);
      last = false;
      if (separators < missing) {
        missing -= separators;
        continue;
      }
      return within(segment.path, segment.name, frame.offset, separators - missing + 1);
    }
  }
  return START;
}

interface Frame {
  readonly offset: number;
  readonly newlines: number;
  readonly endsLine: boolean;
}

/** The place just after the nth newline of the frame. */
async function within(path: string, segment: string, offset: number, nth: number): Promise<LogPosition> {
  for await (const { record } of scanSegment(path, offset)) {
    let at = -1;
    for (let count = 0; count < nth; count++) at = record.data.indexOf(NEWLINE, at + 1);
    return { segment, offset, skipBytes: at + 1 };
  }
  return { segment, offset, skipBytes: 0 };
}

function newlinesIn(data: Uint8Array): number {
  let count = 0;
  for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
