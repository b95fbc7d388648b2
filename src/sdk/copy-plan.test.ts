import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { baseName, type CopyTarget, endsInDirectory, parentName, planCopy, renameRoot } from "./copy-plan.js";

const file = (path: string) => ({ path, isDirectory: false });
const directory = (path: string) => ({ path, isDirectory: true });
const at = (path: string, kind: CopyTarget["kind"]): CopyTarget => ({ path, kind });

describe("planCopy of a file", () => {
  it("keeps its name in an existing directory", () => {
    assert.deepEqual(planCopy(file("a/f"), at("/d", "directory")), { directory: "/d", name: "f" });
  });
  it("takes a free name", () => {
    assert.deepEqual(planCopy(file("a/f"), at("/d/new", "missing")), { directory: "/d", name: "new" });
  });
  it("takes the place of a file", () => {
    assert.deepEqual(planCopy(file("f"), at("/d/old", "file")), { directory: "/d", name: "old" });
  });
  it("is refused for a missing directory", () => {
    assert.throws(
      () => planCopy(file("f"), at("/d/", "missing")),
      (error) => hasReason(error, "no-such-directory"),
    );
  });
  it("is refused for a file named as a directory", () => {
    assert.throws(
      () => planCopy(file("f"), at("/d/", "file")),
      (error) => hasReason(error, "not-a-directory"),
    );
  });
});

describe("planCopy of a directory", () => {
  it("goes inside an existing directory", () => {
    assert.deepEqual(planCopy(directory("a/d"), at("/t", "directory")), { directory: "/t", name: "d" });
    assert.deepEqual(planCopy(directory("a/d/"), at("/t/", "directory")), { directory: "/t/", name: "d" });
  });
  it("gives its contents to an existing directory with /.", () => {
    for (const path of ["a/d/.", ".", "/"]) {
      assert.deepEqual(planCopy(directory(path), at("/t", "directory")), {
        directory: "/t",
        name: undefined,
      });
    }
  });
  it("takes a free name, with /. too", () => {
    assert.deepEqual(planCopy(directory("a/d"), at("/t/new", "missing")), { directory: "/t", name: "new" });
    assert.deepEqual(planCopy(directory("a/d/."), at("/t/new/", "missing")), {
      directory: "/t",
      name: "new",
    });
  });
  it("is refused for a file", () => {
    assert.throws(
      () => planCopy(directory("d"), at("/f", "file")),
      (error) => hasReason(error, "not-a-directory"),
    );
  });
});

it("names the parts of paths", () => {
  const cases: [string, string, string][] = [
    ["/a/b", "b", "/a"],
    ["/a/b/", "b", "/a"],
    ["/a/b/.", "b", "/a"],
    ["/a", "a", "/"],
    ["a", "a", "."],
    ["a//b//", "b", "a/"],
    ["/", "", "."],
    [".hidden", ".hidden", "."],
  ];
  for (const [path, base, parent] of cases)
    assert.deepEqual([baseName(path), parentName(path)], [base, parent], path);
});

it("knows paths that can only be directories", () => {
  for (const path of ["a/", "/", ".", "..", "a/.", "a/.."]) assert.equal(endsInDirectory(path), true, path);
  for (const path of ["a", "a/.b", "a/...", "..."]) assert.equal(endsInDirectory(path), false, path);
});

it("stays quick on a path of many slashes", () => {
  assert.equal(baseName(`${"/".repeat(50_000)}x`), "x");
});

describe("renameRoot", () => {
  it("gives the root its new name", () => {
    const rename = renameRoot("new");
    assert.deepEqual(["old", "old/a", "old/a/b", "./old/c"].map(rename), [
      "new",
      "new/a",
      "new/a/b",
      "new/c",
    ]);
  });
  it("drops the root where only its contents go", () => {
    assert.deepEqual(["old", "old/a", "old/a/b"].map(renameRoot(undefined)), [undefined, "a", "a/b"]);
  });
});
