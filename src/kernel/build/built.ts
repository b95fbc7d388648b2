// Kernels that were built: built/<key>/{boot/vmlinux,boot/config,build.json}. A directory appears by one rename, and
// what is in it is checked against its record before it is used.

import { createHash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { copyFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import * as v from "valibot";
import { errnoOf } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import { readKept, writeKept } from "../../base/kept-file.js";
import type { Logger } from "../../base/log.js";
import { openObject, parseVersioned, type RecordKind } from "../../base/versioned.js";
import { scratchPath } from "./scratch.js";

const Sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const RECORD = "build.json";
const KEY = /^[0-9a-f]{64}$/;

const BuildSchema = openObject({
  version: v.number(),
  key: Sha256,
  architecture: v.picklist(["amd64", "arm64"]),
  /** uname -r. */
  release: v.string(),
  source: openObject({ package: v.string(), version: v.string() }),
  compiler: v.string(),
  linker: v.string(),
  /** Of the fragments. */
  configuration: Sha256,
  /** Of boot/vmlinux and boot/config. */
  image: Sha256,
  config: Sha256,
  imageBytes: Count,
  /** Seconds since 1970: the date that the kernel carries. */
  epoch: Count,
  objects: Count,
  seconds: Count,
});

/** build.json. */
export type BuildRecord = v.InferOutput<typeof BuildSchema>;

export const BUILD: RecordKind<BuildRecord> = { version: 1, schema: BuildSchema, migrations: {} };

/** A kernel that was built, and where it is. */
export interface BuiltKernel extends BuildRecord {
  /** Holds boot/vmlinux and boot/config. */
  readonly tree: string;
  /** False where this very call compiled it. */
  readonly cached: boolean;
}

/** The directory of a key. */
function builtDirectory(root: string, key: string): string {
  return join(root, key);
}

/** A result that is there and whole; undefined where it has to be built. What is damaged is removed. */
export async function findBuilt(root: string, key: string, log: Logger): Promise<BuiltKernel | undefined> {
  const tree = builtDirectory(root, key);
  const record = await readRecord(tree, log);
  if (record === undefined) return undefined;
  const image = await sha256Of(join(tree, "boot/vmlinux")).catch(() => "");
  const config = await sha256Of(join(tree, "boot/config")).catch(() => "");
  if (record.key === key && image === record.image && config === record.config) {
    return { ...record, tree, cached: true };
  }
  log.warn("a kernel that was built is damaged and is built again", { path: tree });
  await rm(tree, { recursive: true, force: true });
  return undefined;
}

/** All records, in no order; damaged ones are left out. */
export async function listBuilt(root: string, log: Logger): Promise<BuildRecord[]> {
  const names = await readdir(root).catch((error: unknown): string[] => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  const records = await Promise.all(
    names.filter((name) => KEY.test(name)).map((name) => readRecord(join(root, name), log)),
  );
  return records.filter((record) => record !== undefined);
}

/** What is known of a result before its files are hashed. */
export type NewBuild = Omit<BuildRecord, "version" | "image" | "config">;

/**
 * Puts a result in its place; one of the same key gives way.
 *
 * @param files the kernel and its .config
 */
export async function storeBuilt(
  root: string,
  build: NewBuild,
  files: { readonly image: string; readonly config: string },
): Promise<BuiltKernel> {
  await makeDirectory(root, 0o755);
  const tree = builtDirectory(root, build.key);
  const half = await scratchPath(root, build.key);
  try {
    await makeDirectory(join(half, "boot"), 0o755);
    // Copies: the work place may be on another file system.
    await copyFile(files.image, join(half, "boot/vmlinux"), constants.COPYFILE_FICLONE);
    await copyFile(files.config, join(half, "boot/config"), constants.COPYFILE_FICLONE);
    const image = await sha256Of(join(half, "boot/vmlinux"));
    const config = await sha256Of(join(half, "boot/config"));
    const record: BuildRecord = { version: 1, ...build, image, config };
    await writeKept(join(half, RECORD), record, { mode: 0o644 });
    await rm(tree, { recursive: true, force: true });
    await rename(half, tree);
    return { ...record, tree, cached: false };
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    throw error;
  }
}

async function readRecord(tree: string, log: Logger): Promise<BuildRecord | undefined> {
  const parse = (json: unknown) => parseVersioned(BUILD, json)?.value;
  const { value, damage } = await readKept(join(tree, RECORD), parse, { mode: 0o644 });
  if (value === undefined && damage !== undefined) {
    log.warn("the record of a kernel that was built is damaged", { path: tree, error: damage });
  }
  return value;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
