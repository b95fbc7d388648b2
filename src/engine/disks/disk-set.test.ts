import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planDisks } from "./disk-set.js";

const PATHS = { base: "/base", cow: "/cow", modules: "/modules" };
const extra = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: `x${index}`, path: `/x${index}`, readOnly: true }));

describe("planDisks", () => {
  it("puts what a guest boots from before all that is attached besides", () => {
    const set = planDisks(PATHS, extra(2));
    assert.deepEqual(
      set.specs.map(({ id, readOnly }) => [id, readOnly]),
      [
        ["base", true],
        ["cow", false],
        ["modules", true],
        ["x0", true],
        ["x1", true],
      ],
    );
    assert.deepEqual([set.root, set.modules], [{ base: "base", cow: "cow" }, "modules"]);
  });

  it("has no modules where the kernel has none", () => {
    const set = planDisks({ base: "/base", cow: "/cow" }, extra(1));
    assert.deepEqual(
      set.specs.map(({ id }) => id),
      ["base", "cow", "x0"],
    );
    assert.deepEqual([set.modules, set.deviceHint("modules"), set.deviceHint("x0")], [undefined, "", ""]);
  });

  it("names a device for what boots alone, however many disks there are", () => {
    const set = planDisks(PATHS, extra(27));
    assert.equal(set.specs.length, 30);
    assert.deepEqual(
      set.specs.map(({ id }) => set.deviceHint(id)),
      ["/dev/vda", "/dev/vdb", "/dev/vdc", ...Array(27).fill("")],
    );
  });
});
