import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkImports, relativeImports } from "./imports.mjs";

describe("the arrows between rooms", () => {
  const check = (file, specifier) => checkImports(file, `import { x } from "${specifier}";\n`);

  it("let a room import itself, base, and the rooms below it by their doors", () => {
    assert.deepEqual(check("src/kernel/cpio.ts", "./elf.js"), []);
    assert.deepEqual(check("src/kernel/cpio.ts", "../base/errors.js"), []);
    assert.deepEqual(check("src/engine/vm.ts", "../kernel/index.js"), []);
    assert.deepEqual(check("src/vmm/qemu/driver.ts", "../types.js"), []);
    assert.deepEqual(check("src/sdk/client.ts", "../gen/kiln/v1/vm_pb.js"), []);
  });

  it("hold for the rooms inside a room as for the room itself", () => {
    assert.deepEqual(check("src/engine/run/vm-boot.ts", "../vm/entry.js"), []);
    assert.deepEqual(check("src/engine/run/vm-boot.ts", "../engine.js"), []);
    assert.deepEqual(check("src/engine/run/vm-boot.ts", "../../kernel/index.js"), []);
    assert.match(check("src/engine/run/vm-boot.ts", "../../kernel/cpio.js")[0] ?? "", /by its door/);
    assert.match(check("src/engine/run/vm-boot.ts", "../../api/index.js")[0] ?? "", /must not import/);
    assert.match(check("src/api/vm.ts", "../engine/run/index.js")[0] ?? "", /by its door/);
    assert.deepEqual(check("src/engine/run/vm-boot.test.ts", "../../../test/fixtures/assets.js"), []);
  });

  it("let the base builder enter where the layers have a door of their own", () => {
    assert.deepEqual(check("src/engine/disks/build-base-main.ts", "../../image/layers/index.js"), []);
    assert.match(check("src/disk/cow.ts", "../image/layers/index.js")[0] ?? "", /must not import/);
  });

  for (const [file, specifier] of [
    ["src/kernel/cpio.ts", "../disk/index.js"],
    ["src/base/files.ts", "../kernel/index.js"],
    ["src/cli/run.ts", "../engine/index.js"],
    ["src/cli/run.ts", "../gen/kiln/v1/vm_pb.js"],
    ["src/api/vm.ts", "../vmm/index.js"],
    ["src/vmm/qemu/driver.ts", "../../engine/types.js"],
  ]) {
    it(`refuse ${specifier} in ${file}`, () => {
      assert.match(check(file, specifier)[0] ?? "", /must not import/);
    });
  }

  it("keep the wire out of the engine, but for its tests", () => {
    const wire = ["@connectrpc/connect", "@connectrpc/connect-node", "@bufbuild/protobuf"];
    for (const specifier of wire) {
      assert.match(check("src/engine/run/vm-boot.ts", specifier)[0] ?? "", /it knows no wire/);
      assert.deepEqual(check("src/engine/run/vm-boot.test.ts", specifier), []);
      assert.deepEqual(check("src/agent/calls.ts", specifier), []);
    }
    const generated = "../../gen/kiln/agent/v1/machine_pb.js";
    assert.match(check("src/engine/run/vm-boot.ts", generated)[0] ?? "", /must not import gen/);
    assert.deepEqual(check("src/engine/run/vm-boot.test.ts", generated), []);
  });

  it("refuse a way past the door", () => {
    assert.match(check("src/engine/vm.ts", "../kernel/cpio.js")[0] ?? "", /by its door/);
  });

  it("refuse code outside src/, but for tests' fixtures", () => {
    assert.match(check("src/engine/vm.ts", "../../test/fixtures/assets.js")[0] ?? "", /outside src/);
    assert.deepEqual(check("src/engine/vm.test.ts", "../../test/fixtures/assets.js"), []);
  });

  it("let a test speak the wire itself", () => {
    assert.deepEqual(check("src/cli/run.test.ts", "../gen/kiln/v1/vm_pb.js"), []);
  });

  it("refuse a room that nobody knows", () => {
    assert.match(check("src/utils/x.ts", "../base/errors.js")[0] ?? "", /is no room/);
  });
});

it("imports are found in every form, over several lines too", () => {
  const text = [
    'import "./a.js";',
    'import type { B } from "./b.js";',
    "import {\n  type C,\n  d,\n} from './skip.js';".replaceAll("'", '"').replace("./skip", "./c"),
    'export { e } from "./e.js";',
    'export * from "./f.js";',
    'const g = await import("./g.js");',
    'import { join } from "node:path";',
    'const text = "from"; // "./h.js"',
  ].join("\n");
  assert.deepEqual(relativeImports(text), ["./a.js", "./b.js", "./c.js", "./e.js", "./f.js", "./g.js"]);
});
