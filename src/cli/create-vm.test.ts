import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { takenBack } from "./create-vm.js";
import { interruption } from "./interrupt.js";

const interrupted = interruption("run debian: interrupted: no VM was made", 143);

describe("an interruption that came too late", () => {
  it("removes the VM that was made, and says what it said", async () => {
    let removed = 0;
    const vm = { name: "web", remove: async () => void removed++ };
    assert.equal(await takenBack(Promise.resolve(vm), interrupted, "run debian"), interrupted);
    assert.equal(removed, 1);
  });

  it("names the VM that it can't remove, and keeps the exit code", async () => {
    const vm = { name: "web", remove: () => Promise.reject(new Error("away")) };
    const error = await takenBack(Promise.resolve(vm), interrupted, "run debian");
    assert.match(error.message, /^run debian: interrupted: VM web was made before/);
    assert.deepEqual([error.reason, error.details.exitCode], ["interrupted", "143"]);
  });

  it("is the whole story where the making failed or was never begun", async () => {
    const failed = Promise.reject(new Error("cancelled"));
    assert.equal(await takenBack(failed, interrupted, "run debian"), interrupted);
    assert.equal(await takenBack(undefined, interrupted, "run debian"), interrupted);
  });
});
