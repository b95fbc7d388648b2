import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type CpioEntry, writeCpio } from "./cpio.js";

interface ReadEntry {
  name: string;
  inode: number;
  mode: number;
  mtime: number;
  rdev: string;
  data: Buffer;
}

/** A reader of its own, from the format's description: what the kernel would see. */
function readCpio(archive: Buffer): ReadEntry[] {
  const entries: ReadEntry[] = [];
  let at = 0;
  for (;;) {
    assert.equal(at % 4, 0, "headers are aligned");
    assert.equal(archive.toString("latin1", at, at + 6), "070701");
    const field = (index: number) =>
      Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameSize = field(11);
    const name = archive.toString("utf8", at + 110, at + 110 + nameSize - 1);
    const dataAt = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (name === "TRAILER!!!") return entries;
    const data = archive.subarray(dataAt, dataAt + field(6));
    entries.push({
      name,
      inode: field(0),
      mode: field(1),
      mtime: field(5),
      rdev: `${field(9)}:${field(10)}`,
      data,
    });
    at = Math.ceil((dataAt + field(6)) / 4) * 4;
  }
}

const ENTRIES: CpioEntry[] = [
  { path: "modules/b.ko", type: "file", mode: 0o644, data: Buffer.from("bb") },
  { path: "init", type: "file", mode: 0o755, data: Buffer.from("#!") },
  { path: "modules", type: "directory", mode: 0o755 },
  { path: "modules/a.ko", type: "file", mode: 0o644, data: Buffer.from("a") },
  { path: "dev", type: "directory", mode: 0o755 },
  { path: "dev/console", type: "char", mode: 0o600, major: 5, minor: 1 },
  { path: "lib", type: "symlink", target: "usr/lib" },
];

describe("a cpio archive", () => {
  it("holds every entry with its type, mode, device and data, parents first", () => {
    const read = readCpio(Buffer.concat(writeCpio(ENTRIES)));
    assert.deepEqual(
      read.map(({ name, mode, rdev, data }) => [name, mode.toString(8), rdev, data.toString()]),
      [
        ["dev", "40755", "0:0", ""],
        ["dev/console", "20600", "5:1", ""],
        ["init", "100755", "0:0", "#!"],
        ["lib", "120777", "0:0", "usr/lib"],
        ["modules", "40755", "0:0", ""],
        ["modules/a.ko", "100644", "0:0", "a"],
        ["modules/b.ko", "100644", "0:0", "bb"],
      ],
    );
  });

  it("is the same bytes whatever the order of its entries", () => {
    const once = Buffer.concat(writeCpio(ENTRIES));
    assert.deepEqual(Buffer.concat(writeCpio([...ENTRIES].reverse())), once);
  });

  it("carries no time, and counts its inodes", () => {
    const read = readCpio(Buffer.concat(writeCpio(ENTRIES)));
    assert.deepEqual([...new Set(read.map(({ mtime }) => mtime))], [0]);
    assert.deepEqual(
      read.map(({ inode }) => inode),
      [1, 2, 3, 4, 5, 6, 7],
    );
  });

  it("gives back any names and data", () => {
    const name = fc.stringMatching(/^[a-zé0-9._-]{1,40}$/).filter((text) => text !== "." && text !== "..");
    const files = fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 50 })), {
      selector: ([text]) => text,
    });
    fc.assert(
      fc.property(files, (pairs) => {
        const entries = pairs.map(
          ([path, data]): CpioEntry => ({ path, type: "file", mode: 0o600, data: Buffer.from(data) }),
        );
        const read = readCpio(Buffer.concat(writeCpio(entries)));
        const byName = new Map(read.map((entry) => [entry.name, entry.data]));
        assert.equal(byName.size, pairs.length);
        for (const [path, data] of pairs) assert.deepEqual(byName.get(path), Buffer.from(data));
      }),
    );
  });

  it("refuses an entry whose parent is not there", () => {
    assert.throws(() => writeCpio([{ path: "a/b", type: "directory", mode: 0o755 }]), /parent of a\/b/);
  });

  it("refuses the same path twice", () => {
    const entry: CpioEntry = { path: "a", type: "directory", mode: 0o755 };
    assert.throws(() => writeCpio([entry, entry]), /twice/);
  });
});
