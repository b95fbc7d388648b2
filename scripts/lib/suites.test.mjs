import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planWaves, selectTests } from "./suites.mjs";

const UNIT = { name: "unit", place: "src" };
const E2E = { name: "e2e", place: "test/e2e" };
const OTHER = { name: "e2e-firecracker", place: "test/e2e", vmm: "firecracker" };
const CONFORMANCE = { name: "conformance", place: "test/conformance" };
const LONG = { name: "e2e-long", place: "test/e2e-long", onlyNamed: true, images: ["big"] };
const JUDGE = { name: "conformance/judge", place: "test/judge", onlyNamed: true, critest: true };
const ALL = [
  { suite: UNIT, files: ["src/kernel/cpio.test.ts", "src/kernel/elf.test.ts", "src/base/ids.test.ts"] },
  { suite: E2E, files: ["test/e2e/ports.test.ts", "test/e2e/portability.test.ts"] },
  { suite: OTHER, files: ["test/e2e/ports.test.ts"] },
  { suite: LONG, files: ["test/e2e-long/hour.test.ts"] },
  { suite: CONFORMANCE, files: ["test/conformance/tar.test.ts"] },
  { suite: JUDGE, files: ["test/judge/images.test.ts"] },
];

function select(...selectors) {
  const { suites, agent } = selectTests(selectors, ALL);
  const names = suites.flatMap(({ files }) => files.map((file) => file.replace(/^.*\/dist\//, "")));
  return agent ? ["agent", ...names] : names;
}

describe("selecting tests", () => {
  it("takes all of them without a selector", () => {
    assert.equal(select().length, 8);
  });

  it("takes what lasts long only by its name, with the images that it needs", () => {
    for (const name of ["e2e-long", "e2e-long/hour", "test/e2e-long/hour.test.ts"])
      assert.deepEqual(select(name), ["test/e2e-long/hour.test.js"]);
    assert.deepEqual(selectTests(["e2e-long"], ALL).images, ["big"]);
    assert.deepEqual(selectTests([], ALL).images, []);
    assert.deepEqual(selectTests(["e2e"], ALL).images, []);
  });

  it("takes a suite whose name is below another's by its own alone", () => {
    assert.deepEqual(select("conformance"), ["test/conformance/tar.test.js"]);
    assert.deepEqual(select("conformance/judge"), ["test/judge/images.test.js"]);
    assert.equal(selectTests(["conformance/judge"], ALL).critest, true);
    assert.equal(selectTests([], ALL).critest, false);
  });

  it("takes a suite by its name", () => {
    assert.deepEqual(select("e2e"), ["test/e2e/ports.test.js", "test/e2e/portability.test.js"]);
    assert.deepEqual(select("agent"), ["agent"]);
  });

  it("takes part of a suite, by whole words of its path", () => {
    assert.deepEqual(select("e2e/ports"), ["test/e2e/ports.test.js"]);
    assert.deepEqual(select("unit/kernel"), ["src/kernel/cpio.test.js", "src/kernel/elf.test.js"]);
  });

  it("takes the same files on another VMM only by that suite's name", () => {
    assert.equal(select("test/e2e/ports.test.ts").length, 1);
    assert.deepEqual(select("e2e-firecracker/ports"), ["test/e2e/ports.test.js"]);
  });

  it("takes files and directories by their paths", () => {
    assert.deepEqual(select("src/base"), ["src/base/ids.test.js"]);
    assert.deepEqual(select("./test/e2e/ports.test.ts"), ["test/e2e/ports.test.js"]);
    assert.deepEqual(select("dist/src/base/ids.test.js"), ["src/base/ids.test.js"]);
  });

  it("takes several selectors together, each file once", () => {
    assert.deepEqual(select("e2e/ports", "e2e/ports", "src/base"), [
      "src/base/ids.test.js",
      "test/e2e/ports.test.js",
    ]);
  });

  it("refuses a selector that selects nothing", () => {
    assert.throws(() => select("e2e/nothing"), /no test is called e2e\/nothing/);
  });
});

describe("the waves of a suite", () => {
  const suite = { serial: false, first: /long\.test\.ts$/, alone: /heavy\.test\.ts$/ };

  it("begin with the longest files and keep the heavy ones to themselves", () => {
    assert.deepEqual(planWaves(suite, ["/a.test.js", "/heavy.test.js", "/long.test.js"]), [
      { files: ["/long.test.js", "/a.test.js"], shared: true },
      { files: ["/heavy.test.js"], shared: false },
    ]);
  });

  it("are one where nothing is named or shared", () => {
    assert.deepEqual(planWaves({ serial: true }, ["/a.test.js"]), [{ files: ["/a.test.js"], shared: false }]);
    assert.deepEqual(planWaves({ serial: false }, ["/a.test.js"]), [{ files: ["/a.test.js"], shared: true }]);
  });
});
