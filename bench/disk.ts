// How fast the disk room writes: file data in MB/s beside a plain sequential write of the same bytes, and metadata in
// inodes per second. `node dist/bench/disk.js [DIRECTORY]`

import "../src/base/runtime.js";
import { closeSync, openSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DirectoryInode, FileSink, Inode } from "../src/base/tree.js";
import { createExt4Sink } from "../src/disk/index.js";

export interface DiskBenchRow {
  readonly what: string;
  /** Best of the runs. */
  readonly seconds: number;
  /** "1850 MB/s", "120000 inodes/s". */
  readonly rate: string;
}

const MB = 1_000_000;
const DATA_BYTES = 500 * MB;
/** What gunzip hands over at a time. */
const CHUNK = Buffer.alloc(256 * 1024, 0x5a);
const RUNS = 3;
const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 1_700_000_000_123_456_789n };

interface Workload {
  readonly what: string;
  readonly files: number;
  readonly directories: number;
  readonly bytesPerFile: number;
}

/** The second and third have the shape of a Debian image with a compiler: 500 MB, 17,000 inodes. */
const WORKLOADS: readonly Workload[] = [
  { what: "one file of 500 MB", files: 1, directories: 1, bytesPerFile: DATA_BYTES },
  { what: "15,000 files of 33 kB", files: 15_000, directories: 2000, bytesPerFile: DATA_BYTES / 15_000 },
  { what: "100,000 empty files in 1,000 directories", files: 100_000, directories: 1000, bytesPerFile: 0 },
  { what: "100,000 empty files in one directory", files: 100_000, directories: 1, bytesPerFile: 0 },
];

/** Measures in a new directory under `parent`, which should lie where kiln's data will. */
async function benchDisk(parent = tmpdir()): Promise<DiskBenchRow[]> {
  const directory = await mkdtemp(join(parent, "kiln-disk-bench-"));
  try {
    const path = join(directory, "image");
    const rows = [rowOfData("plain sequential write of 500 MB", await best(() => writePlain(path)))];
    for (const load of WORKLOADS) rows.push(...(await measure(path, load)));
    return rows;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(path: string, load: Workload): Promise<DiskBenchRow[]> {
  let data = Number.POSITIVE_INFINITY;
  let metadata = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    await rm(path, { force: true });
    const sink = await createExt4Sink(path, {
      sizeBytes: 64 * 2 ** 30,
      identity: "bench",
      mtimeNs: 0n,
      sync: false,
    });
    const started = performance.now();
    const root = await writeFiles(sink, load);
    const written = performance.now();
    await sink.finish(root);
    data = Math.min(data, (written - started) / 1000);
    metadata = Math.min(metadata, (performance.now() - written) / 1000);
  }
  await rm(path, { force: true });
  const inodes = load.files + load.directories;
  const finish = {
    what: `${load.what}: metadata`,
    seconds: metadata,
    rate: perSecond(inodes / metadata, "inodes"),
  };
  if (load.files === 1) return [rowOfData(`${load.what}: data`, data)];
  return load.bytesPerFile === 0 ? [finish] : [rowOfData(`${load.what}: data`, data), finish];
}

async function writeFiles(sink: FileSink, load: Workload): Promise<DirectoryInode> {
  const directories = Array.from({ length: load.directories }, () => directoryOf([]));
  const size = Math.floor(load.bytesPerFile);
  for (let i = 0; i < load.files; i++) {
    const writer = sink.createFile(size);
    for (let left = size; left > 0; left -= CHUNK.length) {
      await writer.write(left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left));
    }
    const file: Inode = { type: "file", data: await writer.close(), links: 1, ...ATTRIBUTES };
    directories[i % directories.length]?.entries.set(`some-file-name-${i}`, file);
  }
  return directoryOf(directories.map((directory, i): [string, Inode] => [`directory-${i}`, directory]));
}

function directoryOf(entries: [string, Inode][]): DirectoryInode {
  return { type: "directory", entries: new Map(entries), ...ATTRIBUTES, mode: 0o755 };
}

function writePlain(path: string): void {
  const fd = openSync(path, "w");
  try {
    for (let left = DATA_BYTES; left > 0; left -= CHUNK.length) writeSync(fd, CHUNK);
  } finally {
    closeSync(fd);
  }
}

async function best(work: () => void | Promise<void>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    await work();
    least = Math.min(least, (performance.now() - started) / 1000);
  }
  return least;
}

function rowOfData(what: string, seconds: number): DiskBenchRow {
  return { what, seconds, rate: perSecond(DATA_BYTES / MB / seconds, "MB") };
}

function perSecond(rate: number, unit: string): string {
  return `${Math.round(rate)} ${unit}/s`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { what, seconds, rate } of await benchDisk(process.argv[2])) {
    console.log(`${what.padEnd(55)} ${seconds.toFixed(3).padStart(7)} s  ${rate.padStart(18)}`);
  }
}
