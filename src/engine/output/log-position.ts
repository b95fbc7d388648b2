// Places in a VM's output: the start, the end, and the beginning of the last n lines.

import { stat } from "node:fs/promises";
import type { LogStream } from "./log-format.js";
import { listSegments, type Segment, scanSegment, segmentName } from "./log-segments.js";

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

/** True where a frame is not before that place: it has come since. */
export function isAtOrBehind(place: LogPosition, segment: string, offset: number): boolean {
  return segment > place.segment || (segment === place.segment && offset >= place.offset);
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
 * Where the last `lines` lines begin; bytes after the last newline count as a line. Each stream has lines of its own, for
 * what two pipes carry arrives in any order: an unfinished line of one is not the beginning of the other's. Reads whole
 * segments, newest first, and stops as soon as enough beginnings were seen.
 *
 * @param end what is counted back from: what is written behind it meanwhile does not count
 */
export async function positionOfTail(
  directory: string,
  lines: number,
  end: LogPosition,
): Promise<LogPosition> {
  if (lines === 0) return end;
  const segments = (await listSegments(directory)).filter(({ name }) => name <= end.segment).reverse();
  const ends = new EndsOfSegments(segments);
  let missing = lines;
  // One at a time: a log of tiny frames is large.
  for (const [index, segment] of segments.entries()) {
    for (const frame of (await framesOf(segment, end)).reverse()) {
      const first = (frame.beginsLine ?? (await ends.beginsBehind(index, frame.stream))) ? 1 : 0;
      const beginnings = first + frame.newlines - (frame.endsLine ? 1 : 0);
      if (beginnings >= missing) {
        return within(segment.path, segment.name, frame.offset, beginnings - missing + 1 - first);
      }
      missing -= beginnings;
    }
  }
  return START;
}

interface Frame {
  readonly offset: number;
  readonly stream: LogStream;
  readonly newlines: number;
  readonly endsLine: boolean;
  /** Undefined: what came before it on its stream is in an older segment. */
  readonly beginsLine: boolean | undefined;
}

/** Of each stream that a segment has: whether its last byte there is a newline. */
type Ends = ReadonlyMap<LogStream, boolean>;

/** How lines stood at the end of each segment. Kept for all that were looked at, so that none is read for it twice. */
class EndsOfSegments {
  readonly #segments: readonly Segment[];
  readonly #known = new Map<string, Ends>();

  /** @param segments newest first */
  constructor(segments: readonly Segment[]) {
    this.#segments = segments;
  }

  /** Whether a stream's first byte in a segment begins a line: the newest older one that has the stream says so. */
  async beginsBehind(index: number, stream: LogStream): Promise<boolean> {
    const boot = this.#segments[index]?.boot;
    for (const older of this.#segments.slice(index + 1)) {
      // With a boot new lines begin, whatever the last one left unfinished.
      if (older.boot !== boot) return true;
      const ended = (await this.#of(older)).get(stream);
      if (ended !== undefined) return ended;
    }
    return true;
  }

  async #of(segment: Segment): Promise<Ends> {
    const known = this.#known.get(segment.name);
    if (known !== undefined) return known;
    const ends = new Map<LogStream, boolean>();
    for await (const { record } of scanSegment(segment.path)) {
      const last = record.data.at(-1);
      if (last !== undefined) ends.set(record.stream, last === NEWLINE);
    }
    this.#known.set(segment.name, ends);
    return ends;
  }
}

async function framesOf(segment: Segment, end: LogPosition): Promise<Frame[]> {
  const frames: Frame[] = [];
  const ends = new Map<LogStream, boolean>();
  for await (const { offset, record } of scanSegment(segment.path)) {
    if (isAtOrBehind(end, segment.name, offset)) break;
    const { stream, data } = record;
    if (data.length === 0) continue;
    const endsLine = data.at(-1) === NEWLINE;
    frames.push({ offset, stream, newlines: newlinesIn(data), endsLine, beginsLine: ends.get(stream) });
    ends.set(stream, endsLine);
  }
  return frames;
}

/** The place just after the nth newline of the frame; 0: where it begins. */
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
