import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  baseName,
  type CopyTarget,
  cleanPath,
  parentName,
  planCopy,
  RootWitness,
  renameRoot,
} from "./copy-plan.js";
import { KilnError } from "./errors.js";

/** `lands`: the plan's directory and name, or the reason of the refusal. */
type Row = readonly [
  source: string,
  isDirectory: boolean,
  target: string,
  kind: CopyTarget["kind"],
  lands: string,
];
const FILE = false;
const DIRECTORY = true;

/** docker cp's rules (docs.docker.com/reference/cli/docker/container/cp), row by row. "/t/*": the contents in /t. */
const RULES: readonly Row[] = [
  // A file: onto nothing, a file, a directory, a device.
  ["/s/f", FILE, "/t/new", "missing", "/t/new"],
  ["/s/f", FILE, "/t/new/", "missing", "no-such-directory"],
  ["/s/f", FILE, "/t/new/.", "missing", "no-such-directory"],
  ["/s/f", FILE, "/t/old", "file", "/t/old"],
  ["/s/f", FILE, "/t/old/", "file", "not-a-directory"],
  ["/s/f", FILE, "/t", "directory", "/t/f"],
  ["/s/f", FILE, "/t/", "directory", "/t//f"],
  ["/s/f", FILE, "/t/.", "directory", "/t/./f"],
  ["/s/f", FILE, "/", "directory", "//f"],
  ["/s/f", FILE, "/dev/null", "device", "is-a-device"],
  // A directory, by its name.
  ["/s/d", DIRECTORY, "/t/new", "missing", "/t/new"],
  ["/s/d", DIRECTORY, "/t/new/", "missing", "/t/new"],
  ["/s/d/", DIRECTORY, "/t/new", "missing", "/t/new"],
  ["/s/d", DIRECTORY, "/t/old", "file", "not-a-directory"],
  ["/s/d", DIRECTORY, "/t", "directory", "/t/d"],
  ["/s/d/", DIRECTORY, "/t/", "directory", "/t//d"],
  ["/s/d", DIRECTORY, "/dev/null", "device", "is-a-device"],
  // Only its contents.
  ["/s/d/.", DIRECTORY, "/t/new", "missing", "/t/new"],
  ["/s/d/.", DIRECTORY, "/t", "directory", "/t/*"],
  ["/s/d/.", DIRECTORY, "/t/old", "file", "not-a-directory"],
  ["/", DIRECTORY, "/t", "directory", "/t/*"],
  ["/", DIRECTORY, "/t/new", "missing", "/t/new"],
];

function landing([source, isDirectory, target, kind]: Row): string {
  try {
    const { directory, name } = planCopy({ path: source, isDirectory }, { path: target, kind });
    return `${directory}/${name ?? "*"}`;
  } catch (error) {
    assert.ok(error instanceof KilnError);
    return error.reason;
  }
}

describe("docker cp's rules", () => {
  for (const row of RULES) {
    const [source, isDirectory, target, kind, lands] = row;
    it(`${isDirectory ? "directory" : "file"} ${source} to ${kind} ${target}: ${lands}`, () => {
      assert.equal(landing(row), lands);
    });
  }
});

describe("cleanPath", () => {
  /** What Docker's Clean and PreserveTrailingDotOrSeparator make of a path in a container. */
  const cases: readonly [string, string][] = [
    ["/", "/"],
    ["/.", "/"],
    ["//", "/"],
    ["/a/..", "/"],
    ["/a/../", "/"],
    ["/a/../.", "/"],
    ["/../..", "/"],
    ["/a/b/..", "/a"],
    ["/a/b/../", "/a/"],
    ["/a/./b", "/a/b"],
    ["/a//b", "/a/b"],
    ["/a/.", "/a/."],
    ["/a/./", "/a/."],
    ["/a/", "/a/"],
    ["/a/.b", "/a/.b"],
    ["/a/...", "/a/..."],
  ];
  for (const [path, clean] of cases) it(`makes ${path} ${clean}`, () => assert.equal(cleanPath(path), clean));
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
    ["/a/new\nline", "new\nline", "/a"],
  ];
  for (const [path, base, parent] of cases)
    assert.deepEqual([baseName(path), parentName(path)], [base, parent], path);
});

it("stays quick on a path of many slashes", () => {
  assert.equal(baseName(`${"/".repeat(50_000)}x`), "x");
});

describe("renameRoot", () => {
  const names = ["old", "old/a", "old/a/b", "./old/c"];
  it("gives the root its new name", () => {
    assert.deepEqual(names.map(renameRoot("/s/old", "new")), ["new", "new/a", "new/a/b", "new/c"]);
  });
  it("drops the root where only its contents go", () => {
    assert.deepEqual(names.map(renameRoot("/s/old/.", undefined)), [undefined, "a", "a/b", "c"]);
  });
  it("drops nothing of an archive of /, which has no name", () => {
    const all = [".", "./etc", "./etc/passwd", "./.hidden"];
    assert.deepEqual(all.map(renameRoot("/", undefined)), [undefined, "etc", "etc/passwd", ".hidden"]);
    assert.deepEqual(all.map(renameRoot("/", "new")), ["new", "new/etc", "new/etc/passwd", "new/.hidden"]);
  });
});

describe("RootWitness", () => {
  const lacksRoot = { reason: "bad-archive" };
  const shown = (source: string, names: readonly string[]) => {
    const witness = new RootWitness(source);
    for (const name of names) assert.equal(witness.watch((entry) => `to ${entry}`)(name), `to ${name}`);
    return witness;
  };

  it("refuses an archive with nothing in it, and one without its root", () => {
    for (const source of ["/s/old", "/s/old/.", "/"])
      assert.throws(() => shown(source, []).require(), lacksRoot);
    assert.throws(() => shown("/s/old", ["old/a", "./old/b"]).require(), lacksRoot);
  });
  it("takes every spelling of the root", () => {
    for (const name of ["old", "old/", "./old", "/old"])
      assert.doesNotThrow(() => shown("/s/old", [name]).require());
    assert.doesNotThrow(() => shown("/", ["./etc"]).require());
  });
  it("stays quick on a name of a million slashes", () => {
    const name = `${"/".repeat(1_000_000)}old/a`;
    assert.throws(() => shown("/s/old", [name]).require(), lacksRoot);
  });
  it("lets the reader of an archive fail at its end", async () => {
    const read: number[] = [];
    const archive = (async function* () {
      yield new Uint8Array(3);
    })();
    const pass = async () => {
      for await (const piece of shown("/s/old", []).guard(archive)) read.push(piece.length);
    };
    await assert.rejects(pass, lacksRoot);
    assert.deepEqual(read, [3]);
  });
});
