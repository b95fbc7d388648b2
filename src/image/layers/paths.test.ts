import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { file, folder, mergeSpecs, symlink } from "../../../test/fixtures/images/merge-specs.js";

describe("symlinked parents", () => {
  it("are followed inside the root, however they are written", async () => {
    const base = [
      folder("usr/lib"),
      symlink("relative", "usr/lib"),
      symlink("absolute", "/usr/lib"),
      symlink("above", "../../../../usr/./lib/"),
      symlink("chain", "absolute"),
      symlink("usr/up", "../relative"),
    ];
    const upper = ["relative", "absolute", "above", "chain", "usr/up"].map((name, i) => file(`${name}/${i}`));
    const { paths } = await mergeSpecs(base, upper);
    assert.deepEqual(
      paths.filter((path) => /\d$/.test(path)),
      [0, 1, 2, 3, 4].map((i) => `usr/lib/${i}`),
    );
  });

  it("that dangle have their target made", async () => {
    assert.deepEqual((await mergeSpecs([symlink("l", "a/b")], [file("l/x")])).paths, [
      "a",
      "a/b",
      "a/b/x",
      "l",
    ]);
  });

  it("are refused when they go in a circle", async () => {
    const circle = [symlink("a", "b"), symlink("b", "a")];
    await assert.rejects(mergeSpecs(circle, [file("a/x")]), {
      code: 3,
      reason: "symlink-loop",
      message: /"a"/,
    });
  });

  it("are refused when they multiply", async () => {
    const long = Array.from({ length: 30 }, (_, i) => symlink(`l${i}`, `l${i + 1}/`.repeat(900)));
    await assert.rejects(mergeSpecs(long, [file("l0/x")]), { reason: "symlink-loop" });
  });
});

describe("names of entries", () => {
  it("may be absolute, dotted and untidy as long as they stay inside", async () => {
    const { paths } = await mergeSpecs([
      file("/a"),
      file("./b"),
      file("x/../c"),
      file("d//e/"),
      file("/./f/."),
    ]);
    assert.deepEqual(paths, ["a", "b", "c", "d", "d/e", "f"]);
  });

  it("are refused when they lead out of the root", async () => {
    for (const path of ["../x", "/../x", "a/../../x", "..", "./../etc/passwd", "../.wh.x"]) {
      const expected = { code: 3, reason: "path-escape", message: new RegExp(path.replaceAll(".", "\\.")) };
      await assert.rejects(mergeSpecs([file(path)]), expected, path);
    }
  });

  it("can't make the root anything but a directory", async () => {
    for (const spec of [file("./"), symlink("/", "x"), { ...file("."), path: "" }]) {
      await assert.rejects(mergeSpecs([spec]), { reason: "bad-root-entry" });
    }
  });

  it("can't be a file and a directory in one layer", async () => {
    await assert.rejects(mergeSpecs([file("a"), file("a/b")]), {
      reason: "parent-not-directory",
      message: /"a\/b"|"a"/,
    });
  });
});
