import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { file, folder, link, mergeSpecs, symlink } from "../../../test/fixtures/images/merge-specs.js";

describe("whiteouts", () => {
  it("hide files and directories of lower layers", async () => {
    const { paths, freed } = await mergeSpecs(
      [file("a"), file("d/b")],
      [{ path: ".wh.a" }, { path: ".wh.d" }],
    );
    assert.deepEqual([paths, freed], [[], 2]);
  });

  it("hide nothing of their own layer, wherever they stand in it", async () => {
    const layer = [
      { path: ".wh.a" },
      file("a"),
      file("b"),
      { path: ".wh.b" },
      file("d/new"),
      { path: ".wh.d" },
    ];
    const { paths } = await mergeSpecs([file("a", "old"), file("b", "old"), file("d/old")], layer);
    assert.deepEqual(paths, ["a", "b", "d", "d/new"]);
  });

  it("hide what an earlier layer brought after hiding it", async () => {
    const { paths } = await mergeSpecs([file("a")], [{ path: ".wh.a" }], [file("a")], [{ path: ".wh.a" }]);
    assert.deepEqual(paths, []);
  });

  it("keep the inode of a file that has other names", async () => {
    const { paths, freed, at } = await mergeSpecs([file("a", "x"), link("b", "a")], [{ path: ".wh.a" }]);
    assert.deepEqual([paths, freed, at("b").size], [["b"], 0, 1]);
  });

  it("spare a new name for a lower inode", async () => {
    const { paths } = await mergeSpecs([file("a")], [link("b", "a"), { path: ".wh.a" }, { path: ".wh.b" }]);
    assert.deepEqual(paths, ["b"]);
  });

  it("may hide what is not there", async () => {
    const { paths } = await mergeSpecs(
      [file("f")],
      [{ path: ".wh.x" }, { path: "no/.wh.x" }, { path: "f/.wh.x" }],
    );
    assert.deepEqual(paths, ["f"]);
  });

  it("work through symlinked parents", async () => {
    const { paths } = await mergeSpecs(
      [file("usr/lib/x"), symlink("lib", "usr/lib")],
      [{ path: "lib/.wh.x" }],
    );
    assert.deepEqual(paths, ["lib", "usr", "usr/lib"]);
  });

  it("are refused when they name nothing that can be hidden", async () => {
    for (const name of [".wh.", ".wh..", ".wh..."]) {
      await assert.rejects(mergeSpecs([{ path: `d/${name}` }]), { reason: "bad-whiteout" }, name);
    }
  });

  it("of aufs's own kind are left out, names in its link directory linked first", async () => {
    const plink = ".wh..wh.plnk/123.456";
    const { paths, at } = await mergeSpecs([
      { path: ".wh..wh.aufs" },
      folder(".wh..wh.plnk"),
      file(plink),
      link("a", plink),
    ]);
    assert.deepEqual([paths, at("a").size], [["a"], plink.length]);
  });
});

describe("opaque directories", () => {
  it("hide all that is lower and nothing that is not", async () => {
    const lower = [file("d/old"), file("d/sub/old"), file("d/gone/old")];
    const upper = [file("d/sub/new"), { path: "d/.wh..wh..opq" }, file("d/new")];
    const { paths, freed } = await mergeSpecs(lower, upper);
    assert.deepEqual([paths, freed], [["d", "d/new", "d/sub", "d/sub/new"], 3]);
  });

  it("may be the root", async () => {
    assert.deepEqual((await mergeSpecs([file("a")], [file("b"), { path: ".wh..wh..opq" }])).paths, ["b"]);
  });

  it("are hidden themselves by a whiteout of the same layer", async () => {
    const { paths } = await mergeSpecs([file("d/a")], [{ path: "d/.wh..wh..opq" }, { path: ".wh.d" }]);
    assert.deepEqual(paths, []);
  });

  it("hide again in the next layer", async () => {
    const opaque = { path: "d/.wh..wh..opq" };
    assert.deepEqual((await mergeSpecs([file("d/1")], [file("d/2"), opaque], [file("d/3"), opaque])).paths, [
      "d",
      "d/3",
    ]);
  });
});
