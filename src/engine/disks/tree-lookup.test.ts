import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DirectoryInode, Inode } from "../../base/tree.js";
import { hasInit, lookUp } from "./tree-lookup.js";

const ATTRIBUTES = { mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n };

type Spec = { [name: string]: Spec | string | number };

/** A number is a file of that mode, a text a symlink. */
function tree(spec: Spec): DirectoryInode {
  const entries = new Map<string, Inode>();
  for (const [name, value] of Object.entries(spec)) {
    if (typeof value === "number") {
      entries.set(name, { type: "file", data: { size: 1 }, links: 1, ...ATTRIBUTES, mode: value });
    } else if (typeof value === "string") {
      entries.set(name, { type: "symlink", target: value, links: 1, ...ATTRIBUTES });
    } else {
      entries.set(name, tree(value));
    }
  }
  return { type: "directory", entries, ...ATTRIBUTES };
}

describe("hasInit", () => {
  it("follows links inside the root, as merged-usr and systemd have them", () => {
    const root = tree({
      sbin: "usr/sbin",
      lib: "usr/lib",
      usr: { sbin: { init: "/lib/systemd/systemd" }, lib: { systemd: { systemd: 0o755 } } },
    });
    assert.equal(hasInit(root), true);
  });

  const without: [string, Spec][] = [
    ["nothing there", {}],
    ["a dangling link", { sbin: { init: "/nowhere" } }],
    ["a file that can't be executed", { sbin: { init: 0o644 } }],
    ["a directory", { sbin: { init: {} } }],
    ["a loop", { sbin: { init: "init" } }],
    ["a file on the way", { sbin: 0o755 }],
  ];
  for (const [what, spec] of without) {
    it(`finds none in a tree with ${what}`, () => assert.equal(hasInit(tree(spec)), false));
  }
});

describe("lookUp", () => {
  it("never leaves the root", () => {
    const root = tree({ a: { b: "../../../../a/c", c: 0o600 } });
    assert.equal(lookUp(root, "/a/b")?.mode, 0o600);
    assert.equal(lookUp(root, "../../a/c")?.mode, 0o600);
    assert.equal(lookUp(root, "/.."), root);
  });

  it("finds a file and no more behind it", () => {
    assert.equal(lookUp(tree({ a: 0o600 }), "/a/b"), undefined);
  });
});
