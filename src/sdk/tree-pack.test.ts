// Trees that change while they are packed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { readTar } from "../base/tar-stream.js";
import { type PackOptions, packTree } from "./tree-pack.js";

let scratch: string;
let tree: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "pack-"));
  tree = join(scratch, "tree");
  await mkdir(tree);
});

afterEach(() => rm(scratch, { recursive: true }));

/** Entries and their data; `between` runs once the root and what is first in it have come. */
async function packed(
  path: string,
  options: PackOptions,
  between: () => Promise<void> = async () => undefined,
): Promise<string[]> {
  async function* pieces() {
    let count = 0;
    for await (const piece of packTree(path, options)) {
      yield piece;
      if (++count === 2) await between();
    }
  }
  const all: string[] = [];
  for await (const { entry, data } of readTar(pieces())) {
    let text = "";
    for await (const piece of data) text += Buffer.from(piece).toString();
    all.push(entry.type === "file" ? `${entry.name}=${text}` : `${entry.name} ${entry.type}`);
  }
  return all;
}

describe("packTree of what changes", () => {
  it("leaves out what goes, or becomes another thing, while the tree is walked", async () => {
    for (const directory of ["0", "c/deep", "d"]) await mkdir(join(tree, directory), { recursive: true });
    for (const file of ["a", "aa", "f", "z"]) await writeFile(join(tree, file), "data");
    await link(join(tree, "aa"), join(tree, "twin"));
    await symlink("nowhere", join(tree, "e"));
    const names = await packed(tree, { name: "tree" }, async () => {
      for (const gone of ["a", "aa", "c", "d", "e"]) await rm(join(tree, gone), { recursive: true });
      await writeFile(join(tree, "d"), "a file now");
    });
    assert.deepEqual(names, [
      "tree directory",
      "tree/0 directory",
      "tree/d=a file now",
      "tree/f=data",
      "tree/twin=data",
      "tree/z=data",
    ]);
  });

  it("fails where what was asked for is not there", async () => {
    const gone = join(scratch, "gone");
    for (const name of ["gone", undefined]) {
      await assert.rejects(packed(gone, { name }), { code: "ENOENT" });
    }
  });

  it("fails where what was asked for is a device or a socket, and leaves a socket out of a tree", async () => {
    const refused = (what: RegExp) => (error: unknown) =>
      hasReason(error, "not-copyable") && what.test((error as Error).message);
    await assert.rejects(
      packed("/dev/zero", { name: "zero" }),
      refused(/^copy \/dev\/zero: devices are not/),
    );
    const socket = join(tree, "socket");
    const server = createServer().listen(socket);
    try {
      await once(server, "listening");
      await assert.rejects(packed(socket, { name: "socket" }), refused(/: sockets are not copied/));
      const skipped: string[] = [];
      const onSkip = (path: string, why: string) => skipped.push(`${path}: ${why}`);
      assert.deepEqual(await packed(tree, { name: "tree", onSkip }), ["tree directory"]);
      assert.deepEqual(skipped, [`${socket}: sockets are not copied`]);
    } finally {
      server.close();
    }
  });

  it("reads files of the kernel to know their size", async () => {
    for (const path of ["/proc/version", "/sys/kernel/uevent_seqnum"]) {
      const read = () => readFile(path, "utf8").catch(() => undefined);
      let before = await read();
      assert.ok(path !== "/proc/version" || before, "there is a /proc");
      let entries: readonly string[] = [];
      // The second counts what other tests mount and take down: looked at once that stood still meanwhile.
      for (let after = before; after !== undefined; before = after) {
        entries = await packed(path, { name: "it" });
        after = await read();
        if (after === before) break;
      }
      if (before !== undefined) assert.deepEqual(entries, [`it=${before}`]);
    }
  });

  it("packs a FIFO that nobody writes into as one", async () => {
    execFileSync("mkfifo", [join(tree, "fifo")]);
    assert.deepEqual(await packed(tree, { name: "tree" }), ["tree directory", "tree/fifo fifo"]);
  });
});
