import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { UndoStack } from "../../base/undo.js";
import { leaseFound, type Sought } from "./lease-found.js";
import { type Ref, References } from "./references.js";

const IMAGE: Ref = { noun: "image", id: "1" };

/** What is found is there as often as `here` says. */
function world(...here: boolean[]) {
  const references = new References();
  const leases = new UndoStack();
  let found = 0;
  const sought: Sought<number> = {
    find: async () => ++found,
    refOf: () => IMAGE,
    isHere: () => here[found - 1] ?? false,
  };
  const keeping = { references, leases, why: "a VM is being made" };
  return { references, leases, sought, keeping, found: () => found };
}

describe("what work needs", () => {
  it("is kept once it is found, until it is let go of", async () => {
    const { references, leases, sought, keeping } = world(true);
    assert.equal(await leaseFound(keeping, sought), 1);
    assert.throws(
      () => references.claim(IMAGE),
      (error) => hasReason(error, "image-in-use"),
    );
    await leases.rollback();
    references.claim(IMAGE).release();
  });

  it("is looked for again where a removal has won, and not before that is over", async () => {
    const { references, sought, keeping, found } = world(false, true);
    const claim = references.claim(IMAGE);
    const taking = leaseFound(keeping, sought);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(found(), 1, "it waits for the removal");
    claim.release();
    assert.equal(await taking, 2);
    assert.deepEqual(references.leased(), [IMAGE]);
  });

  it("is given up where it goes again and again", async () => {
    const { references, sought, keeping, found } = world();
    await assert.rejects(leaseFound(keeping, sought), (error) => hasReason(error, "being-removed"));
    assert.deepEqual([found(), references.leased()], [5, []]);
  });

  it("is not kept for who has left meanwhile, be it during a removal that hangs", async () => {
    for (const hangs of [true, false]) {
      const { references, sought, keeping } = world(true);
      const abort = new AbortController();
      if (hangs) references.claim(IMAGE);
      const taking = leaseFound({ ...keeping, signal: abort.signal }, sought);
      if (hangs) await new Promise((resolve) => setImmediate(resolve));
      abort.abort(new Error("left"));
      await assert.rejects(taking, /left/);
      assert.deepEqual(references.leased(), []);
    }
  });
});
