import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import type { DataRef, DirectoryInode, Inode } from "../../base/tree.js";
import { SpoolSink } from "./spool-sink.js";

let directory: string;
let sink: SpoolSink;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-spool-"));
  sink = new SpoolSink(join(directory, "spool"), { totalBytes: 1000, entries: 10 });
});
afterEach(async () => {
  await sink.dispose();
  await rm(directory, { recursive: true, force: true });
});

const ATTRIBUTES = { mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n };

async function file(...parts: (string | number)[]): Promise<Inode> {
  const size = parts.reduce<number>((sum, part) => sum + (typeof part === "number" ? part : part.length), 0);
  const writer = sink.createFile(size);
  for (const part of parts) {
    if (typeof part === "number") writer.hole(part);
    else await writer.write(Buffer.from(part));
  }
  return { type: "file", data: (await writer.close()) as DataRef, links: 1, ...ATTRIBUTES };
}

function folder(entries: Record<string, Inode>): DirectoryInode {
  return { type: "directory", entries: new Map(Object.entries(entries)), ...ATTRIBUTES };
}

describe("SpoolSink", () => {
  it("writes a file's bytes and holes where asked", async () => {
    const root = folder({ boot: folder({ vmlinux: await file("ab", 3, "cd", 2) }) });
    await sink.finish(root);
    assert.equal(await sink.extract("/boot/vmlinux", join(directory, "out")), true);
    assert.equal(await readFile(join(directory, "out"), "latin1"), "ab\0\0\0cd\0\0");
  });

  it("writes a directory's plain files and leaves links and odd names out", async () => {
    const link: Inode = { type: "symlink", target: "/etc/passwd", links: 1, ...ATTRIBUTES };
    const modules = folder({
      "a.ko": await file("a"),
      kernel: folder({ "b.ko": await file("b") }),
      build: link,
      "..": await file("up"),
      "x/../../y": await file("out"),
    });
    await sink.finish(folder({ lib: folder({ modules }) }));
    await sink.extract("/lib/modules", join(directory, "out"));
    assert.deepEqual((await readdir(join(directory, "out"), { recursive: true })).sort(), [
      "a.ko",
      "kernel",
      "kernel/b.ko",
    ]);
    assert.deepEqual((await readdir(directory)).sort(), ["out", "spool"]);
  });

  it("says when there is nothing", async () => {
    await sink.finish(folder({}));
    assert.equal(await sink.extract("/boot/vmlinux", join(directory, "out")), false);
  });

  it("keeps its limits", async () => {
    assert.throws(
      () => sink.createFile(1001),
      (error) => hasReason(error, "image-too-large"),
    );
    const names = Array.from({ length: 20 }, (_, n) => `f${n}`);
    const entries = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await file("x")])));
    await sink.finish(folder(entries));
    await assert.rejects(sink.extract("/", join(directory, "out")), (error) =>
      hasReason(error, "too-many-entries"),
    );
  });

  it("refuses a file that is shorter than announced", () => {
    assert.throws(
      () => sink.createFile(5).close(),
      (error) => hasReason(error, "file-truncated"),
    );
  });
});
