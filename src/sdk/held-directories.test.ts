import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DirectoryAttributes, HeldDirectories } from "./held-directories.js";

const as = (mode: number): DirectoryAttributes => ({ mode, uid: 0, gid: 0, mtimeMs: 0 });
const names = (taken: [string, DirectoryAttributes][]) => taken.map(([name]) => name);

describe("HeldDirectories", () => {
  it("holds one that comes again and again once, and its last word", () => {
    const held = new HeldDirectories(1000);
    for (let mode = 0; mode < 100_000; mode++) assert.deepEqual(held.later("a", as(mode)), []);
    assert.deepEqual(held.rest(), [["a", as(99_999)]]);
    assert.deepEqual(held.rest(), []);
  });

  it("lets go of those that are done when there is no room, what lies within first", () => {
    const held = new HeldDirectories(1200);
    for (const name of ["a", "a/x", "a/b", "a/bc"]) assert.deepEqual(held.later(name, as(1)), []);
    assert.deepEqual(names(held.later("a/b/c", as(2))), ["a/x", "a/bc"]);
    assert.deepEqual(names(held.rest()), ["a/b/c", "a/b", "a"]);
  });

  it("forgets which are real rather than hold any number, but never the root", () => {
    const held = new HeldDirectories(10_000);
    let known = 0;
    for (let count = 0; count < 1000; count++) {
      held.noteReal(`d${count}`);
      assert.ok(held.isReal(`d${count}`));
    }
    for (let count = 0; count < 1000; count++) if (held.isReal(`d${count}`)) known++;
    assert.ok(known < 50, `${known} are held`);
    assert.ok(held.isReal(""));
  });
});
