import "../base/runtime.js";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { buildDiskFromDirectory, planDiskSize } from "./from-directory.js";

const scratch = await mkdtemp(join(tmpdir(), "kiln-directory-disk-"));
after(() => rm(scratch, { recursive: true, force: true }));
const source = join(scratch, "source");
const image = join(scratch, "out", "modules.ext4");
const options = { identity: "test", sync: false };

beforeEach(async () => {
  await rm(source, { recursive: true, force: true });
  await rm(join(scratch, "out"), { recursive: true, force: true });
  await mkdir(join(source, "kernel", "fs"), { recursive: true });
  await mkdir(join(scratch, "out"));
  await writeFile(join(source, "modules.dep"), "a: b\n");
  await writeFile(join(source, "kernel", "fs", "ext4.ko"), Buffer.alloc(1_000_000, 7));
  await symlink("/usr/src/linux", join(source, "build"));
});

describe("buildDiskFromDirectory", () => {
  it("gives the same bytes whoever owns the files and whenever they were written", async () => {
    await buildDiskFromDirectory(source, image, options);
    const first = await digestOf(image);
    await utimes(join(source, "modules.dep"), 1, 2);
    await chmod(join(source, "modules.dep"), 0o600);
    await buildDiskFromDirectory(source, image, options);
    assert.equal(await digestOf(image), first);
  });

  it("gives other bytes for another identity or content", async () => {
    await buildDiskFromDirectory(source, image, options);
    const first = await digestOf(image);
    await buildDiskFromDirectory(source, image, { ...options, identity: "other" });
    const second = await digestOf(image);
    await writeFile(join(source, "modules.dep"), "a: c\n");
    await buildDiskFromDirectory(source, image, options);
    assert.equal(new Set([first, second, await digestOf(image)]).size, 3);
  });

  it("makes a disk little larger than its content", async () => {
    const { sizeBytes } = await buildDiskFromDirectory(source, image, options);
    assert.equal((await stat(image)).size, sizeBytes);
    assert.ok(sizeBytes <= 2 * 2 ** 20);
  });

  it("takes names that are not UTF-8 and directories of many files", async () => {
    await writeFile(Buffer.from(`${source}/\xff\xfe`, "latin1"), "x");
    await Promise.all(
      Array.from({ length: 600 }, (_, i) => writeFile(join(source, "kernel", `m${i}.ko`), "")),
    );
    assert.equal((await buildDiskFromDirectory(source, image, options)).inodes, 608);
  });

  it("refuses what no disk of modules holds, and leaves nothing behind", async () => {
    execFileSync("mkfifo", [join(source, "fifo")]);
    await assert.rejects(
      buildDiskFromDirectory(source, image, options),
      (error) => hasReason(error, "unsupported-file-type") && /fifo/.test((error as Error).message),
    );
    assert.deepEqual(await readdir(join(scratch, "out")), []);
  });

  it("stops when told to, and leaves nothing behind", async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(buildDiskFromDirectory(source, image, { ...options, signal }), (error) =>
      hasReason(error, "cancelled"),
    );
    assert.deepEqual(await readdir(join(scratch, "out")), []);
  });

  it("says which directory is missing", async () => {
    await assert.rejects(
      buildDiskFromDirectory(join(scratch, "nowhere"), image, options),
      (error) => hasReason(error, "no-such-file") && /nowhere/.test((error as Error).message),
    );
  });
});

describe("planDiskSize", () => {
  it("grows until the tables for very many inodes fit too", () => {
    assert.ok(planDiskSize(10, 100_000) > 100_000 * 256);
    assert.equal(planDiskSize(10, 10) % 2 ** 20, 0);
  });
});

async function digestOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}
