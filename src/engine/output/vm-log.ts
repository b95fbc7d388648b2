// The output of one VM's main program: appended by the log pump, read by `logs` and `attach`, also after the end.
// Readers read the files, never a queue: a slow reader costs no memory and holds nobody up.

import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { Alarm } from "../../base/alarm.js";
import { errnoOf } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import { moveAside } from "../../base/move-aside.js";
import { Notifier, until } from "../common/notifier.js";
import { DEFAULT_LOG_LIMITS, type LogLimits } from "../common/settings.js";
import { encodeRecord, type LogRecord, type LogStream } from "./log-format.js";
import {
  isAtOrBehind,
  type LogPosition,
  type OutputPlace,
  positionAtEnd,
  positionOf,
  positionOfTail,
  START,
} from "./log-position.js";
import { dropOldest, listSegments, resumeBoot, scanSegment, segmentName } from "./log-segments.js";

export interface ReadLogOptions {
  readonly from?: LogPosition;
  /** Lines of the end to begin with; absent: everything. */
  readonly tail?: number | undefined;
  /** Nanoseconds since 1970, inclusive. */
  readonly since?: bigint | undefined;
  /** Nanoseconds since 1970, inclusive: reading ends at the first later record, and following once that time is over. */
  readonly until?: bigint | undefined;
  /** Goes on until the VM has ended. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface LogChunk {
  readonly stream: LogStream;
  readonly timeNs: bigint;
  readonly data: Uint8Array;
  /** Where the output goes on behind it. */
  readonly next: OutputPlace;
}

interface Writer {
  readonly boot: number;
  segment: string;
  file: FileHandle;
  size: number;
  nextSequence: bigint;
  lastTimeNs: bigint;
}

export class VmLog {
  readonly #directory: string;
  readonly #limits: LogLimits;
  readonly #now: () => number;
  readonly #changed = new Notifier();
  #version = 0;
  #live = false;
  #readers = 0;
  #writer: Writer | undefined;
  /** Whose output is taken; undefined where none is. Its writer may not be there yet. */
  #boot: number | undefined;
  #tail: Promise<void> = Promise.resolve();

  constructor(directory: string, limits: LogLimits = DEFAULT_LOG_LIMITS, now: () => number = Date.now) {
    this.#directory = directory;
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * Makes it ready for a boot's output and lets followers wait for more. Where it can't be stored now (a full disk), it is
   * tried again with what comes.
   *
   * @returns the sequence number to ask the agent from
   */
  begin(boot: number): Promise<bigint> {
    return this.#inTurn(async () => {
      await this.#closeWriter();
      this.#boot = boot;
      this.#live = true;
      return (await this.#open(boot)).nextSequence;
    });
  }

  /**
   * What was handed to `append` so far is written or has failed, and `nextSequence` is what is on disk.
   *
   * @throws the file system's error where no more can be stored now
   */
  async ready(): Promise<void> {
    await this.#inTurn(() => this.#ready());
  }

  /** One past the last byte on disk of the present boot. */
  get nextSequence(): bigint {
    return this.#writer?.nextSequence ?? 0n;
  }

  /** True between `begin` and `end`. */
  get live(): boolean {
    return this.#live;
  }

  /**
   * Writes records of the present boot in order. What is already there is skipped, so that records sent twice (a
   * kilnd was killed between writing and acknowledging) appear once. Times are made monotonic: they are the guest's.
   *
   * @throws the file system's error; the records then count as not written
   */
  append(records: readonly LogRecord[]): Promise<void> {
    // A pump that is being replaced may still be writing when its successor begins.
    return this.#inTurn(() => this.#append(records));
  }

  /** Resolves once everything below a sequence number of the present boot is on disk, or no more comes. */
  async stored(sequence: bigint, signal: AbortSignal): Promise<void> {
    const holds = () => this.#writer === undefined || this.#writer.nextSequence >= sequence;
    await until(this.#changed, () => (holds() ? true : undefined), signal);
  }

  /** No more output will come: followers end once they have read everything. */
  end(): Promise<void> {
    return this.#inTurn(async () => {
      this.#live = false;
      await this.#closeWriter();
      this.#wake();
    });
  }

  /** Lets go of the file; the output goes on with the next kilnd. */
  detach(): Promise<void> {
    return this.#inTurn(() => this.#closeWriter());
  }

  /** Where the output ends now: reading from here gives only what comes later. */
  async endPosition(): Promise<LogPosition> {
    const writer = this.#writer;
    // The file's own size may lie in the middle of a frame that is being written.
    if (writer !== undefined) return { segment: writer.segment, offset: writer.size, skipBytes: 0 };
    return positionAtEnd(this.#directory);
  }

  /** Where a client goes on that has come so far. */
  placeOf({ boot, sequence }: OutputPlace): Promise<LogPosition> {
    return positionOf(this.#directory, boot, sequence);
  }

  /** The output in order. Ends at the present end, or with `follow` at the end of the VM. */
  async *read(options: ReadLogOptions = {}): AsyncGenerator<LogChunk> {
    const release = this.hold();
    const alarm = new Alarm();
    let isOver = false;
    if (options.follow === true && options.until !== undefined) {
      // A program that says nothing more would be listened to for ever.
      alarm.at(Number(options.until / 1_000_000n) + 1, this.#now, () => {
        isOver = true;
        this.#wake();
      });
    }
    try {
      yield* this.#read(options, () => isOver);
    } finally {
      alarm.clear();
      release();
    }
  }

  /** Counts as a reader until released: for one who will read soon. */
  hold(): () => void {
    this.#readers++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#readers--;
      this.#wake();
    };
  }

  /** True while somebody reads, or will soon. */
  get isRead(): boolean {
    return this.#readers > 0;
  }

  /** Waits until nobody reads any more: a VM's directory is not removed under its readers. */
  async drained(signal: AbortSignal): Promise<void> {
    await until(this.#changed, () => (this.#readers === 0 ? true : undefined), signal);
  }

  async #append(records: readonly LogRecord[]): Promise<void> {
    const writer = await this.#ready();
    if (writer === undefined) return;
    if (writer.size >= this.#limits.segmentBytes) await this.#rotate(writer);
    const frames: Buffer[] = [];
    let { nextSequence, lastTimeNs } = writer;
    for (const record of records) {
      const fresh = skipWritten(record, nextSequence);
      if (fresh === undefined) continue;
      lastTimeNs = clampTime(fresh.timeNs, lastTimeNs, BigInt(this.#now()) * 1_000_000n);
      frames.push(...encodeRecord({ ...fresh, timeNs: lastTimeNs }));
      nextSequence = fresh.sequence + BigInt(fresh.data.length);
    }
    if (frames.length === 0) return;
    const bytes = Buffer.concat(frames);
    await writeWhole(writer, bytes);
    writer.size += bytes.length;
    writer.nextSequence = nextSequence;
    writer.lastTimeNs = lastTimeNs;
    this.#wake();
  }

  async *#read(options: ReadLogOptions, isOver: () => boolean): AsyncGenerator<LogChunk> {
    let position = options.from ?? START;
    // A busy program would be read for as long as it writes, and its last 2 lines would be hundreds.
    const now = await this.endPosition();
    if (options.tail !== undefined) position = await positionOfTail(this.#directory, options.tail, now);
    const last = options.follow === true ? undefined : now;
    let skip = position.skipBytes;
    for (;;) {
      options.signal?.throwIfAborted();
      const version = this.#version;
      const goesOn = options.follow === true && this.#live && !isOver();
      for await (const { segment, boot, offset, end, record } of framesFrom(this.#directory, position)) {
        if (last !== undefined && isAtOrBehind(last, segment, offset)) return;
        position = { segment, offset: end, skipBytes: 0 };
        if (options.until !== undefined && record.timeNs > options.until) return;
        const data = record.data.subarray(skip);
        skip = 0;
        if (data.length === 0 || (options.since !== undefined && record.timeNs < options.since)) continue;
        const next = { boot, sequence: record.sequence + BigInt(record.data.length) };
        yield { stream: record.stream, timeNs: record.timeNs, data: Uint8Array.from(data), next };
      }
      if (!goesOn) return;
      await until(this.#changed, () => (this.#version === version ? undefined : true), options.signal);
    }
  }

  #wake(): void {
    this.#version++;
    this.#changed.notify();
  }

  /** The next file is open before the full one is closed: where none can be had, the output waits and goes on later. */
  async #rotate(writer: Writer): Promise<void> {
    const segment = segmentName(writer.boot, writer.nextSequence);
    const full = writer.file;
    writer.file = await openSegment(this.#directory, segment);
    writer.segment = segment;
    writer.size = 0;
    await full.close();
    await this.#dropOldest();
  }

  /** One after the other. */
  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const work = this.#tail.then(body);
    this.#tail = work.then(
      () => undefined,
      () => undefined,
    );
    return work;
  }

  /** @returns undefined where no boot's output is taken */
  async #ready(): Promise<Writer | undefined> {
    if (this.#writer !== undefined || this.#boot === undefined) return this.#writer;
    return this.#open(this.#boot);
  }

  async #open(boot: number): Promise<Writer> {
    const { segment, ...resume } = await resumeBoot(this.#directory, boot);
    const name = segment?.name ?? segmentName(boot, 0n);
    const writer = { boot, segment: name, file: await openSegment(this.#directory, name), ...resume };
    this.#writer = writer;
    // Boots that each end before their first file is full would never come to it otherwise, and fill the disk.
    if (segment === undefined) await this.#dropOldest();
    return writer;
  }

  /** What can't be taken away now is tried again with the next file, and keeps no output from being stored. */
  async #dropOldest(): Promise<void> {
    await dropOldest(this.#directory, this.#limits.keepBytes).catch(() => undefined);
  }

  async #closeWriter(): Promise<void> {
    const writer = this.#writer;
    this.#boot = undefined;
    this.#writer = undefined;
    await writer?.file.close();
  }
}

/** Whatever became of the directory, or stands where it or the file should: without them the program would wait for ever. */
async function openSegment(directory: string, name: string): Promise<FileHandle> {
  await makeDirectory(directory).catch(async (error: unknown) => {
    if (errnoOf(error) !== "EEXIST") throw error;
    await moveAside(directory);
    await makeDirectory(directory);
  });
  const path = join(directory, name);
  return open(path, "a", 0o600).catch(async (error: unknown) => {
    if (errnoOf(error) !== "EISDIR") throw error;
    await moveAside(path);
    return open(path, "a", 0o600);
  });
}

/** A write that fails half-way (disk full) is cut off again, else everything after it would be unreadable. */
async function writeWhole(writer: Writer, bytes: Buffer): Promise<void> {
  try {
    await writer.file.appendFile(bytes);
  } catch (error) {
    await writer.file.truncate(writer.size);
    throw error;
  }
}

async function* framesFrom(directory: string, from: LogPosition) {
  for (const segment of await listSegments(directory)) {
    if (segment.name < from.segment) continue;
    const offset = segment.name === from.segment ? from.offset : 0;
    for await (const place of scanSegment(segment.path, offset)) {
      yield { ...place, segment: segment.name, boot: segment.boot };
    }
  }
}

function skipWritten(record: LogRecord, next: bigint): LogRecord | undefined {
  if (record.sequence >= next) return record.data.length === 0 ? undefined : record;
  const already = next - record.sequence;
  if (already >= BigInt(record.data.length)) return undefined;
  return { ...record, sequence: next, data: record.data.subarray(Number(already)) };
}

function clampTime(time: bigint, notBefore: bigint, notAfter: bigint): bigint {
  if (time < notBefore) return notBefore;
  return time > notAfter && notAfter >= notBefore ? notAfter : time;
}
