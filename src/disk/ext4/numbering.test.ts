import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import type { DirectoryInode, Inode } from "../../base/tree.js";
import { numberTree, pathOf } from "./numbering.js";

const ATTRIBUTES = { mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n };

describe("numberTree", () => {
  it("does not depend on the order in which entries were added", () => {
    const forth = numbersOf(directory({ a: fifo(), b: directory({ c: fifo(), d: fifo() }) }));
    const back = numbersOf(directory({ b: directory({ d: fifo(), c: fifo() }), a: fifo() }));
    assert.deepEqual(forth, back);
  });

  it("numbers what one directory holds together, from 11 on", () => {
    const tree = directory({ a: directory({ x: fifo() }), b: fifo(), "lost+found": directory({}) });
    assert.deepEqual(numbersOf(tree), [
      [11, '"/a"'],
      [12, '"/b"'],
      [13, '"/lost+found"'],
      [14, '"/a/x"'],
    ]);
  });

  it("adds lost+found only where the root has none", () => {
    assert.deepEqual(numbersOf(directory({})), [[11, '"/lost+found"']]);
    assert.deepEqual(numbersOf(directory({ "lost+found": fifo() })), [[11, '"/lost+found"']]);
  });

  it("sorts names as bytes", () => {
    const { root } = numberTree(directory({ "\xff": fifo(), z: fifo(), Z: fifo() }), directory({}));
    assert.deepEqual(
      root.entries.map(({ name }) => name),
      ["Z", "lost+found", "z", "\xff"],
    );
  });

  it("counts hard links by the names it meets", () => {
    const linked = fifo();
    const { root, inodes } = numberTree(directory({ a: linked, b: directory({ c: linked }) }), directory({}));
    assert.equal(inodes.find(({ inode }) => inode === linked)?.links, 2);
    // ".", "/b/..", "/lost+found/.." and its own "..".
    assert.equal(root.links, 4);
  });

  it("walks a tree deeper than any stack", () => {
    let deep = directory({});
    for (let i = 0; i < 50_000; i++) deep = directory({ d: deep });
    assert.equal(numberTree(deep, directory({})).inodes.length, 50_001);
  });

  it("refuses a directory in two places", () => {
    const twice = directory({});
    assert.throws(
      () => numberTree(directory({ a: twice, b: twice }), directory({})),
      (error) => hasReason(error, "not-a-tree"),
    );
  });

  it("refuses a directory inside itself", () => {
    const loop = directory({});
    loop.entries.set("loop", loop);
    assert.throws(
      () => numberTree(loop, directory({})),
      (error) => hasReason(error, "not-a-tree"),
    );
  });

  for (const name of ["", ".", "..", "a/b", "a\0b", "x".repeat(256), "\u20ac"]) {
    it(`refuses the name ${JSON.stringify(name.slice(0, 8))} (${name.length} bytes)`, () => {
      assert.throws(
        () => numberTree(directory({ [name]: fifo() }), directory({})),
        (error) => hasReason(error, "bad-file-name"),
      );
    });
  }

  const bad: Record<string, Inode> = {
    "bad-symlink": { type: "symlink", target: "", links: 1, ...ATTRIBUTES },
    "bad-device": { type: "char", major: 4096, minor: 0, links: 1, ...ATTRIBUTES },
    "bad-owner": { type: "fifo", links: 1, ...ATTRIBUTES, uid: 2 ** 32 - 1 },
  };
  for (const [reason, inode] of Object.entries(bad)) {
    it(`refuses an inode with ${reason}`, () => {
      assert.throws(
        () => numberTree(directory({ it: inode }), directory({})),
        (error) => hasReason(error, reason),
      );
    });
  }

  it("refuses the 65,001st hard link", () => {
    const linked = fifo();
    const entries = Object.fromEntries(Array.from({ length: 65_001 }, (_, i) => [`l${i}`, linked]));
    assert.throws(
      () => numberTree(directory(entries), directory({})),
      (error) => hasReason(error, "too-many-links"),
    );
  });
});

function directory(entries: Record<string, Inode>): DirectoryInode {
  return { type: "directory", entries: new Map(Object.entries(entries)), ...ATTRIBUTES };
}

function fifo(): Inode {
  return { type: "fifo", links: 1, ...ATTRIBUTES };
}

function numbersOf(root: DirectoryInode): [number, string][] {
  const tree = numberTree(root, directory({}));
  return tree.inodes.map((node) => [node.number, pathOf(tree, node)]);
}
