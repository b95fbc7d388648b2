import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { file, folder, link, mergeSpecs, symlink } from "../../../test/fixtures/images/merge-specs.js";

describe("merging layers", () => {
  it("gives an empty root without layers, with times and owners that are always the same", async () => {
    const { paths, at } = await mergeSpecs();
    assert.deepEqual(paths, []);
    const { type, mode, uid, gid, mtimeNs } = at("");
    assert.deepEqual(
      { type, mode, uid, gid, mtimeNs },
      { type: "directory", mode: "755", uid: 0, gid: 0, mtimeNs: "0" },
    );
  });

  it("takes the root's attributes from its entry", async () => {
    const { at } = await mergeSpecs([folder("./", { mode: 0o700, uid: 3, xattrs: { "user.r": "r" } })]);
    assert.deepEqual([at("").mode, at("").uid, at("").xattrs], ["700", 3, { "user.r": "72" }]);
  });

  it("makes missing parents as root's, 0755, of the epoch", async () => {
    const { at } = await mergeSpecs([file("a/b/c")]);
    assert.deepEqual([at("a/b").mode, at("a/b").mtimeNs], ["755", "0"]);
  });

  it("passes a set-group-ID parent's group on to the directories it makes", async () => {
    const { at } = await mergeSpecs([folder("d", { mode: 0o2775, gid: 50 }), file("d/e/f/g")]);
    assert.deepEqual([at("d/e").mode, at("d/e/f").mode, at("d/e/f").gid], ["2755", "2755", 50]);
  });

  it("keeps a directory's time when its content changes later", async () => {
    const { at } = await mergeSpecs(
      [folder("d", { mtimeNs: 7n }), file("d/a")],
      [file("d/b"), { path: "d/.wh.a" }],
    );
    assert.equal(at("d").mtimeNs, "7");
  });

  it("counts what it did", async () => {
    const { stats, freed } = await mergeSpecs([file("a", "12345"), file("b", "123")], [{ path: ".wh.a" }]);
    assert.equal(freed, 1);
    assert.deepEqual(stats, {
      layers: 2,
      entries: 3,
      uncompressedBytes: 2048 + 1024 + 1536,
      writtenBytes: 8,
      freedBytes: 5,
    });
  });
});

describe("entries over entries", () => {
  it("replace a file, its data given back", async () => {
    const { at, freed } = await mergeSpecs([file("a", "old")], [file("a", "newer")]);
    assert.deepEqual([at("a").size, freed], [5, 1]);
  });

  it("keep a directory's content and take all of its attributes", async () => {
    const below = folder("d", { mode: 0o700, uid: 9, xattrs: { "user.old": "1" } });
    const { paths, at } = await mergeSpecs([below, file("d/kept")], [folder("d", { mode: 0o711 })]);
    assert.deepEqual(paths, ["d", "d/kept"]);
    assert.deepEqual([at("d").mode, at("d").uid, at("d").xattrs], ["711", 0, {}]);
  });

  it("remove a directory's content when they are something else", async () => {
    const { paths, freed } = await mergeSpecs([file("d/a"), file("d/e/b")], [symlink("d", "x")]);
    assert.deepEqual([paths, freed], [["d"], 2]);
  });

  it("replace a symlink by a directory instead of following it", async () => {
    const { at, paths } = await mergeSpecs([folder("t"), symlink("l", "t")], [folder("l"), file("l/x")]);
    assert.equal(at("l").type, "directory");
    assert.deepEqual(paths, ["l", "l/x", "t"]);
  });

  it("let the last of one layer win", async () => {
    const { at, freed } = await mergeSpecs([
      file("a", "1"),
      file("a", "22"),
      symlink("b", "x"),
      file("b", "333"),
    ]);
    assert.deepEqual([at("a").size, at("b").size, freed], [2, 3, 1]);
  });

  it("replace a lower file where they need a directory", async () => {
    const { paths } = await mergeSpecs([file("a")], [file("a/b")]);
    assert.deepEqual(paths, ["a", "a/b"]);
  });
});

describe("hard links", () => {
  it("share an inode within a layer and across layers", async () => {
    const { at } = await mergeSpecs([file("a"), link("b", "a")], [link("d/c", "/b")]);
    assert.deepEqual([at("b").linkedTo, at("d/c").linkedTo], ["a", "a"]);
  });

  it("keep the old inode when a later entry takes their target's name", async () => {
    const { at, freed } = await mergeSpecs([file("a", "old")], [link("b", "a"), file("a", "newer")]);
    assert.deepEqual([at("b").size, at("a").size, freed], [3, 5, 0]);
  });

  it("may be to symlinks, and go through symlinked parents", async () => {
    const { at } = await mergeSpecs(
      [file("usr/x"), symlink("l", "usr"), symlink("s", "usr/x")],
      [link("a", "l/x"), link("b", "s")],
    );
    assert.deepEqual([at("a").linkedTo, at("b").linkedTo, at("b").type], ["a", "b", "symlink"]);
    assert.equal(at("usr/x").linkedTo, "a");
  });

  it("to themselves change nothing", async () => {
    const { paths, freed } = await mergeSpecs([file("a"), link("./a", "a")]);
    assert.deepEqual([paths, freed], [["a"], 0]);
  });

  it("are refused to what is missing, a directory, or outside", async () => {
    await assert.rejects(mergeSpecs([link("a", "nothing")]), {
      reason: "link-target-missing",
      message: /"a".*"nothing"/,
    });
    await assert.rejects(mergeSpecs([folder("d"), link("a", "d")]), { reason: "link-to-directory" });
    await assert.rejects(mergeSpecs([link("a", "/")]), { reason: "link-to-directory" });
    await assert.rejects(mergeSpecs([file("x"), link("a", "../x")]), { reason: "path-escape" });
  });

  it("to what they replace are refused", async () => {
    await assert.rejects(mergeSpecs([file("d/x")], [link("d", "d/x")]), { reason: "link-target-missing" });
  });
});
