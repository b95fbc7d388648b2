import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkEngineImports } from "./engine-rooms.mjs";

describe("the arrows between the engine's rooms", () => {
  const check = (file, specifier) => checkEngineImports(file, `import type { X } from "${specifier}";\n`);

  it("let a room import itself, those below it, and other rooms of the house", () => {
    assert.deepEqual(check("src/engine/run/run.ts", "./stages/spawn.js"), []);
    assert.deepEqual(check("src/engine/run/stages/spawn.ts", "../context.js"), []);
    assert.deepEqual(check("src/engine/run/run.ts", "../objects/entry.js"), []);
    assert.deepEqual(check("src/engine/run/run.ts", "../../vmm/index.js"), []);
    assert.deepEqual(check("src/engine/vm/entry.ts", "../output/vm-log.js"), []);
  });

  it("let what joins the rooms import all of them", () => {
    assert.deepEqual(check("src/engine/engine.ts", "./system/usage.js"), []);
    assert.deepEqual(check("src/engine/index.ts", "./engine.js"), []);
  });

  for (const [file, specifier] of [
    ["src/engine/objects/store.ts", "../run/run.js"],
    ["src/engine/common/notifier.ts", "../host/host.js"],
    ["src/engine/output/vm-log.ts", "../vm/entry.js"],
    ["src/engine/images/image-verbs.ts", "../kernels/kernel-assets.js"],
    ["src/engine/kernels/kernel-verbs.ts", "../images/image-verbs.js"],
    ["src/engine/run/stages/spawn.ts", "../../workload/exec.js"],
    ["src/engine/system/usage.ts", "../engine.js"],
  ]) {
    it(`refuse ${specifier} in ${file}`, () => {
      assert.match(check(file, specifier)[0]?.text ?? "", /must not import/);
    });
  }

  it("refuse a room that nobody knows", () => {
    assert.match(check("src/engine/misc/x.ts", "../vm/entry.js")[0]?.text ?? "", /no room of the engine/);
  });

  it("let a test look anywhere", () => {
    assert.deepEqual(check("src/engine/vm/entry.test.ts", "../run/run.js"), []);
  });
});
