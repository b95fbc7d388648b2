// Cow files: the sparse file that takes a VM's writes over a shared read-only base, joined with it in the guest by
// device-mapper's `snapshot` target. A cow means nothing without the exact base it was made on, and device-mapper
// does not check that, so a record of the base lies beside it. What is inside is the guest's business.

import { open, rm, stat } from "node:fs/promises";
import * as v from "valibot";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { allocatedBytes, writeJsonAtomic, writeNewFile } from "../base/files.js";
import { readKept, removeKept } from "../base/kept-file.js";
import { UndoStack } from "../base/undo.js";
import { openObject, parseVersioned, type RecordKind } from "../base/versioned.js";

/** The chunk size of the snapshot: what one first write in the guest copies, and the unit of everything below. */
export const COW_CHUNK_BYTES = 64 * 1024;

/** The base a cow belongs to. */
export interface CowBase {
  /** Digest that names the base's content. */
  readonly baseDigest: string;
  /** Size of the base's file, hence of the disk the guest sees. */
  readonly baseSizeBytes: number;
}

export interface CowRecord extends CowBase {
  readonly version: number;
  /** Virtual size of the cow file. */
  readonly sizeBytes: number;
}

export interface CowUsage {
  /** What the cow takes on the host's disk. */
  readonly allocatedBytes: number;
  /** The most it can take. */
  readonly sizeBytes: number;
}

const MIB = 1024 * 1024;
/** Bytes that one entry of the snapshot's exception table takes. */
const EXCEPTION_BYTES = 16;
/** Room over the exact need, so that no rounding of another kernel version can make the snapshot overflow. */
const MARGIN = 0.02;

const Bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
export const COW: RecordKind<CowRecord> = {
  version: 1,
  schema: openObject({ version: v.number(), baseDigest: v.string(), baseSizeBytes: Bytes, sizeBytes: Bytes }),
  migrations: {},
};

/**
 * The virtual size at which the snapshot can never overflow: header, every chunk of the base, its exception table
 * (one table chunk before each 4096 chunks), and 2 %. Only the host's disk can then fill up.
 */
export function planCowSize(baseSizeBytes: number): number {
  const chunks = Math.ceil(baseSizeBytes / COW_CHUNK_BYTES);
  const tables = Math.ceil((chunks * EXCEPTION_BYTES) / COW_CHUNK_BYTES) + 1;
  const exact = (1 + chunks + tables) * COW_CHUNK_BYTES;
  return Math.ceil(Math.max(exact + MIB, baseSizeBytes * (1 + MARGIN)) / MIB) * MIB;
}

/** Where the record of a cow file lies. */
export function cowRecordPath(path: string): string {
  return `${path}.json`;
}

/**
 * Creates an empty cow (mode 0600) and its record: constant time, next to nothing on disk. A first sector of zeros
 * tells the guest's kernel to begin a new snapshot. The directory is one in the making: the caller makes it durable, and
 * a kill in between leaves a cow without record there. The record is kept once, since the VM's own says the same.
 *
 * @throws KilnError already_exists `file-exists`; resource_exhausted `host-disk-full`
 */
export async function createCow(path: string, base: CowBase): Promise<CowRecord> {
  const record: CowRecord = {
    version: 1,
    baseDigest: base.baseDigest,
    baseSizeBytes: base.baseSizeBytes,
    sizeBytes: planCowSize(base.baseSizeBytes),
  };
  try {
    await using undo = new UndoStack();
    const file = await open(path, "wx", 0o600);
    undo.push("remove the cow file", () => rm(path, { force: true }));
    try {
      await file.truncate(record.sizeBytes);
      await file.sync();
    } finally {
      await file.close();
    }
    undo.push("remove its record", () => rm(cowRecordPath(path), { force: true }));
    await writeNewFile(cowRecordPath(path), `${JSON.stringify(record, null, 1)}\n`);
    undo.commit();
    return record;
  } catch (error) {
    throw KilnError.from(error, `create cow file ${path}`);
  }
}

/**
 * Says whether a VM may start on this cow and this base: the cow is whole, and was made on exactly that base.
 *
 * @throws KilnError failed_precondition `base-mismatch`, `cow-missing`, `cow-damaged`
 */
export async function checkCow(path: string, base: CowBase): Promise<CowRecord> {
  const size = await sizeOf(path);
  if (size === undefined) throw refused(path, "cow-missing", "it is not there");
  const record = await readRecord(path, base, size);
  if (record.baseDigest !== base.baseDigest || record.baseSizeBytes !== base.baseSizeBytes) {
    throw new KilnError(
      Code.FailedPrecondition,
      `use cow file ${path}: it was made on base ${record.baseDigest} (${record.baseSizeBytes} bytes), ` +
        `not on ${base.baseDigest} (${base.baseSizeBytes} bytes)`,
      {
        reason: "base-mismatch",
        hint: "bring back the base it was made on, or create the VM anew",
        details: { expected: record.baseDigest, actual: base.baseDigest },
      },
    );
  }
  if (size < record.sizeBytes) {
    throw refused(path, "cow-damaged", `it has ${size} bytes instead of ${record.sizeBytes}`);
  }
  return record;
}

/** What a cow takes; zeros where there is none. */
export async function cowUsage(path: string): Promise<CowUsage> {
  return { allocatedBytes: await allocatedBytes(path), sizeBytes: (await sizeOf(path)) ?? 0 };
}

/** Removes a cow and its record, or what a kill left of them. The record last: it says what the cow was. */
export async function removeCow(path: string): Promise<void> {
  await rm(path, { force: true });
  await removeKept(cowRecordPath(path));
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw KilnError.from(error, `look at cow file ${path}`);
  }
}

/** Where it is lost, with the copy that earlier releases made, the VM's own record says which base it stands on: `base`. */
async function readRecord(path: string, base: CowBase, size: number): Promise<CowRecord> {
  const { value } = await readKept(cowRecordPath(path), parseCowRecord, { mend: false });
  if (value !== undefined) return value;
  const record: CowRecord = { version: 1, ...base, sizeBytes: planCowSize(base.baseSizeBytes) };
  if (size < record.sizeBytes) {
    throw refused(path, "cow-damaged", `its record is lost, and it is too short for base ${base.baseDigest}`);
  }
  await writeJsonAtomic(cowRecordPath(path), record).catch(() => undefined);
  return record;
}

/** Undefined where it is none. */
export function parseCowRecord(json: unknown): CowRecord | undefined {
  return parseVersioned(COW, json)?.value;
}

function refused(path: string, reason: string, why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `use cow file ${path}: ${why}`, {
    reason,
    hint: "the VM's disk is lost or damaged; remove the VM and create it anew",
  });
}
