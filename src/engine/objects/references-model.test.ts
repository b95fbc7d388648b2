// The table of references against a naive one, over random orders of all that can be done to it: lists that are searched
// from one end to the other, and nothing that has to agree with anything.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KilnError } from "../../base/errors.js";
import { type Claim, type How, type Lease, type Ref, References } from "./references.js";

const USERS: readonly Ref[] = ["a", "b", "c"].map((id) => ({ noun: "vm", id }));
const USED: readonly Ref[] = [
  { noun: "image", id: "1" },
  { noun: "image", id: "2" },
  { noun: "base", id: "1" },
  { noun: "kernel", id: "1" },
];
/** An image is used and uses. */
const EVERYTHING = [...USERS, ...USED];

const user = fc.constantFrom(...USERS, USED[0] as Ref);
const used = fc.constantFrom(...USED);
const how = fc.constantFrom<How>("needs", "made-from");
const breaks = fc.subarray<"made-from">(["made-from"]);

const step = fc.oneof(
  fc.record({
    do: fc.constant("set" as const),
    from: user,
    uses: fc.array(fc.record({ to: used, how }), { maxLength: 4 }),
  }),
  fc.record({ do: fc.constant("drop" as const), from: user }),
  fc.record({ do: fc.constant("lease" as const), to: used }),
  fc.record({ do: fc.constant("claim" as const), to: used, breaks }),
  fc.record({ do: fc.constant("unlease" as const), index: fc.nat(5) }),
  fc.record({ do: fc.constant("unclaim" as const), index: fc.nat(5) }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const same = (a: Ref, b: Ref) => a.noun === b.noun && a.id === b.id;
const sorted = (refs: readonly Ref[]) => refs.map(({ noun, id }) => `${noun} ${id}`).sort();

class Naive {
  uses: { from: Ref; to: Ref; how: How }[] = [];
  leases: { to: Ref; real: Lease; over: boolean }[] = [];
  claims: { to: Ref; real: Claim; over: boolean }[] = [];

  claimed(ref: Ref): boolean {
    return this.claims.some(({ to, over }) => !over && same(to, ref));
  }

  leased(ref: Ref): boolean {
    return this.leases.some(({ to, over }) => !over && same(to, ref));
  }

  users(ref: Ref, broken: readonly How[] = []) {
    return this.uses.filter((use) => same(use.to, ref) && !broken.includes(use.how));
  }

  /** The reason for which a claim is refused. */
  obstacle(ref: Ref, broken: readonly How[]): string | undefined {
    if (this.claimed(ref)) return "being-removed";
    return this.users(ref, broken).length > 0 || this.leased(ref) ? `${ref.noun}-in-use` : undefined;
  }

  /** The reason for which new uses are refused. */
  obstacleToUses(from: Ref, uses: readonly { to: Ref }[]): string | undefined {
    const isNew = (to: Ref) => !this.uses.some((use) => same(use.from, from) && same(use.to, to));
    return uses.some(({ to }) => this.claimed(to) && isNew(to)) ? "being-removed" : undefined;
  }
}

/** What it gives, or the reason of its refusal. */
function attempt<T>(body: () => T): { given: T } | { reason: string } {
  try {
    return { given: body() };
  } catch (error) {
    assert.ok(error instanceof KilnError);
    return { reason: error.reason };
  }
}

/** Does it to both, which must answer the same. */
function take(step: Step, real: References, naive: Naive): void {
  switch (step.do) {
    case "set": {
      const { from, uses } = step;
      const reason = naive.obstacleToUses(from, uses);
      const answer = attempt(() => real.set(from, uses));
      assert.equal("reason" in answer ? answer.reason : undefined, reason);
      if (reason !== undefined) return;
      naive.uses = naive.uses.filter((use) => !same(use.from, from));
      naive.uses.push(...uses.map((use) => ({ from, ...use })));
      return;
    }
    case "drop":
      real.drop(step.from);
      naive.uses = naive.uses.filter((use) => !same(use.from, step.from));
      return;
    case "lease": {
      const reason = naive.claimed(step.to) ? "being-removed" : undefined;
      const answer = attempt(() => real.lease(step.to, "it is being made from"));
      assert.equal("reason" in answer ? answer.reason : undefined, reason);
      if ("given" in answer) naive.leases.push({ to: step.to, real: answer.given, over: false });
      return;
    }
    case "claim": {
      const reason = naive.obstacle(step.to, step.breaks);
      const answer = attempt(() => real.claim(step.to, { breaks: step.breaks }));
      assert.equal("reason" in answer ? answer.reason : undefined, reason);
      if ("given" in answer) naive.claims.push({ to: step.to, real: answer.given, over: false });
      return;
    }
    case "unlease":
    case "unclaim": {
      // One that is over already may be released again.
      const held = (step.do === "unlease" ? naive.leases : naive.claims).at(step.index);
      if (held === undefined) return;
      held.over = true;
      held.real.release();
    }
  }
}

/** All that can be asked, asked of both; and what must hold whatever was done. */
function compare(real: References, naive: Naive): void {
  for (const ref of EVERYTHING) {
    assert.deepEqual(
      sorted(real.usersOf(ref).map(({ from }) => from)),
      sorted(naive.users(ref).map(({ from }) => from)),
    );
    assert.deepEqual(
      real.usesOf(ref),
      naive.uses.filter(({ from }) => same(from, ref)),
    );
    assert.ok(!(naive.claimed(ref) && naive.leased(ref)), "leased and claimed at once");
    for (const broken of [[], ["made-from"]] as const) {
      const free = naive.obstacle(ref, broken) === undefined ? [ref.id] : [];
      assert.deepEqual(real.free(ref.noun, [ref.id], { breaks: broken }), free);
    }
    const exists = (other: Ref) => !same(other, ref);
    assert.deepEqual(
      sorted(real.dangling(exists).map(({ to }) => to)),
      sorted(naive.uses.filter(({ from, to }) => same(from, ref) || same(to, ref)).map(({ to }) => to)),
    );
  }
  assert.deepEqual(
    sorted(real.leased()),
    sorted(naive.leases.filter(({ over }) => !over).map(({ to }) => to)),
  );
}

describe("references, leases and claims in any order", () => {
  it("answer as a naive table does, and are empty when all have let go", () => {
    let claims = 0;
    let refusals = 0;
    const property = fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      const real = new References();
      const naive = new Naive();
      for (const each of steps) {
        const before = naive.claims.length;
        take(each, real, naive);
        if (each.do === "claim") naive.claims.length > before ? claims++ : refusals++;
        compare(real, naive);
      }
      for (const { real: held } of [...naive.leases, ...naive.claims]) held.release();
      for (const ref of EVERYTHING) real.drop(ref);
      assert.deepEqual(real.leased(), []);
      assert.equal(real.free("image", ["1", "2"]).length, 2);
    });
    fc.assert(property, { numRuns: 300 });
    // The orders were such that both happen often.
    assert.ok(claims > 100 && refusals > 100, `${claims} claims, ${refusals} refusals`);
  });
});
