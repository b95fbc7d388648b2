import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KilnError } from "../../base/errors.js";
import { collect } from "./collect.js";
import { type Ref, References } from "./references.js";

const image = (id: string): Ref => ({ noun: "image", id });
const vm: Ref = { noun: "vm", id: "v" };
const nothing = async () => undefined;

describe("collect", () => {
  it("removes what nobody uses, and lets go of it", async () => {
    const references = new References();
    references.set(vm, [{ to: image("2"), how: "made-from" }]);
    const lease = references.lease(image("3"), "a VM is being made from it");
    const gone: string[] = [];
    const remove = async (id: string) => {
      assert.equal(references.tryClaim(image(id)), undefined, "it is claimed meanwhile");
      gone.push(id);
    };
    const { removed, failed } = await collect(references, "image", ["1", "2", "3", "4"], remove);
    assert.deepEqual([removed, failed, gone], [["1", "4"], [], ["1", "4"]]);
    lease.release();
    assert.deepEqual(references.free("image", ["1", "2", "3", "4"]), ["1", "3", "4"]);
    const forced = await collect(references, "image", ["2"], nothing, { breaks: ["made-from"] });
    assert.deepEqual(forced.removed, ["2"]);
  });

  it("leaves what has come to be used while those before it went", async () => {
    const references = new References();
    const remove = async () => references.set(vm, [{ to: image("2"), how: "made-from" }]);
    const { removed } = await collect(references, "image", ["1", "2"], remove);
    assert.deepEqual(removed, ["1"]);
  });

  it("frees what a thing used for those that come after it", async () => {
    const references = new References();
    references.set(image("1"), [{ to: image("2"), how: "needs" }]);
    assert.deepEqual((await collect(references, "image", ["1", "2"], nothing)).removed, ["1", "2"]);
  });

  it("goes on behind one that can't be removed, which stays usable and keeps what it uses", async () => {
    const references = new References();
    references.set(image("1"), [{ to: image("9"), how: "needs" }]);
    const remove = async (id: string) => {
      if (id === "1") throw new TypeError("stuck");
    };
    const { removed, failed } = await collect(references, "image", ["1", "2", "9"], remove);
    assert.deepEqual(removed, ["2"]);
    assert.deepEqual(
      failed.map(({ id, error }) => [id, error instanceof KilnError && error.message]),
      [["1", "stuck"]],
    );
    references.lease(image("1"), "x").release();
  });
});
