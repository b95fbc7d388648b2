import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { type Ref, References } from "./references.js";

const vm = (id: string): Ref => ({ noun: "vm", id });
const image: Ref = { noun: "image", id: "i".repeat(64) };
const base: Ref = { noun: "base", id: "b".repeat(64) };
const kernel: Ref = { noun: "kernel", id: "k".repeat(64) };

const usesOfVm = [
  { to: image, how: "made-from" },
  { to: base, how: "needs" },
  { to: kernel, how: "made-from" },
] as const;

function table(...vms: string[]): References {
  const references = new References(({ noun, id }) => (noun === "vm" ? `VM ${id}` : `${noun} it`));
  for (const id of vms) references.set(vm(id), usesOfVm);
  return references;
}

/** What a refusal says. */
function refusal(attempt: () => unknown): KilnError {
  try {
    attempt();
  } catch (error) {
    assert.ok(error instanceof KilnError);
    assert.equal(error.code, Code.FailedPrecondition);
    assert.notEqual(error.hint, undefined);
    return error;
  }
  assert.fail("it was not refused");
}

describe("a claim", () => {
  it("is refused with who uses it, five of them by name", () => {
    const { reason, message, details } = refusal(() => table("a", "b").claim(image));
    assert.equal(reason, "image-in-use");
    assert.equal(message, "cannot remove image it: it is used by VM a, VM b");
    assert.equal(details.holders, "vm a,vm b");
    const many = refusal(() => table("a", "b", "c", "d", "e", "f", "g").claim(kernel));
    assert.equal(
      many.message,
      "cannot remove kernel it: it is used by VM a, VM b, VM c, VM d, VM e and 2 more",
    );
    assert.equal(many.details.holders, "vm a,vm b,vm c,vm d,vm e");
  });

  it("breaks what force may break, and never what a user needs", () => {
    const references = table("a");
    assert.equal(references.tryClaim(image), undefined);
    references.claim(image, { breaks: ["made-from"] }).release();
    const everything = { breaks: ["made-from"] } as const;
    assert.equal(refusal(() => references.claim(base, everything)).reason, "base-in-use");
  });

  it("is refused while something is made from it, with the words of whoever makes it, force or not", () => {
    const references = table();
    const leases = [1, 2].map(() => references.lease(image, "a VM is being made from it"));
    const { reason, message } = refusal(() => references.claim(image, { breaks: ["made-from"] }));
    assert.equal(reason, "image-in-use");
    assert.equal(message, "cannot remove image it: a VM is being made from it");
    leases[0]?.release();
    leases[0]?.release();
    assert.equal(references.tryClaim(image), undefined, "the other one holds it");
    leases[1]?.release();
    references.claim(image).release();
    assert.deepEqual(references.leased(), []);
  });

  it("is given once, and says so in the hint that its asker gave", () => {
    const references = table();
    const first = references.claim(image);
    const second = refusal(() => references.claim(image, { hint: "mine" }));
    assert.deepEqual([second.reason, second.hint], ["being-removed", "mine"]);
    first.release();
    const third = references.claim(image);
    first.release();
    assert.equal(references.tryClaim(image), undefined, "an old claim releases nothing");
    third.release();
  });

  it("keeps everybody from beginning to use it, and those who use it already can be written again", () => {
    const references = table("a");
    const claim = references.claim(image, { breaks: ["made-from"] });
    const lease = refusal(() => references.lease(image, "x"));
    assert.deepEqual(
      [lease.reason, lease.message],
      ["being-removed", "cannot use image it: it is being removed"],
    );
    assert.equal(refusal(() => references.set(vm("b"), usesOfVm)).reason, "being-removed");
    assert.deepEqual(references.usesOf(vm("b")), []);
    references.set(vm("a"), usesOfVm);
    assert.equal(references.usersOf(base).length, 1);
    claim.release();
    references.set(vm("b"), usesOfVm);
    assert.equal(references.usersOf(image).length, 2);
  });
});

describe("the table", () => {
  it("tells what is free now, and forgets who is gone", () => {
    const references = table("a", "b");
    const ids = [kernel.id, "other"];
    assert.deepEqual(references.free("kernel", ids), ["other"]);
    assert.deepEqual(references.free("kernel", ids, { breaks: ["made-from"] }), ids);
    references.drop(vm("a"));
    references.set(vm("b"), [{ to: base, how: "needs" }]);
    assert.deepEqual(references.free("kernel", ids), ids);
    const lease = references.lease({ noun: "kernel", id: "other" }, "it is being imported");
    assert.deepEqual(references.free("kernel", ids), [kernel.id]);
    lease.release();
    references.claim(kernel);
    assert.deepEqual(references.free("kernel", ids), ["other"]);
  });

  it("finds uses of what is gone, and of users that are gone", () => {
    const references = table("a");
    const without = (gone: Ref) => (ref: Ref) => ref.noun !== gone.noun;
    const found = (gone: Ref) => references.dangling(without(gone)).map(({ to }) => to.noun);
    assert.deepEqual(found(image), ["image"]);
    assert.deepEqual(found(vm("a")), ["image", "base", "kernel"]);
    assert.deepEqual(
      references.dangling(() => true),
      [],
    );
  });

  it("names objects by their short ids where nobody describes them", () => {
    const references = new References();
    references.set(vm("v".repeat(64)), usesOfVm);
    assert.equal(
      refusal(() => references.claim(image)).message,
      `cannot remove image ${"i".repeat(12)}: it is used by VM ${"v".repeat(12)}`,
    );
  });
});

describe("a lease on what is being removed", () => {
  it("is given when the removal is over, and not to a remover that comes first again", async () => {
    const references = table();
    const claim = references.claim(base);
    let given = false;
    const waiting = references.leaseAfterRemoval(base, "x").then((lease) => {
      given = true;
      return lease;
    });
    claim.release();
    const second = references.claim(base);
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(given, false);
    second.release();
    const lease = await waiting;
    assert.equal(references.tryClaim(base), undefined);
    lease.release();
  });

  it("is given up with the signal's reason", async () => {
    const references = table();
    const claim = references.claim(base);
    const abort = new AbortController();
    const waiting = references.leaseAfterRemoval(base, "x", abort.signal);
    abort.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    claim.release();
    await assert.rejects(references.leaseAfterRemoval(base, "x", abort.signal), /enough/);
    assert.deepEqual(references.leased(), []);
  });

  it("is a lease as any other where nothing is removed", async () => {
    const references = table();
    const lease = await references.leaseAfterRemoval(base, "a VM is being made on it");
    assert.throws(
      () => references.claim(base),
      (error) => hasReason(error, "base-in-use"),
    );
    lease.release();
  });
});
