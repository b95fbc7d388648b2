import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planIndex } from "./indexed-directory.js";
import type { HashSeed } from "./name-hash.js";

const SEED: HashSeed = [1, 2, 3, 4];

describe("planIndex", () => {
  it("puts every name into one leaf, in the order of hashes", () => {
    const plan = planIndex(entriesOf(5000), SEED);
    const hashes = plan.leaves.flatMap(({ entries }) => entries.map(({ hash }) => hash));
    assert.equal(hashes.length, 5000);
    assert.deepEqual(
      hashes,
      hashes.toSorted((a, b) => a - b),
    );
    assert.equal(plan.nodes, 0);
  });

  it("begins the first leaf at 0 and each other one at its first name's hash", () => {
    const { leaves } = planIndex(entriesOf(1000), SEED);
    assert.equal(leaves[0]?.from, 0);
    for (const leaf of leaves.slice(1)) assert.equal(leaf.from & ~1, (leaf.entries[0]?.hash ?? 0) & ~1);
  });

  it("adds a level of nodes where the root is too small", () => {
    const plan = planIndex(entriesOf(130_000), SEED);
    assert.ok(plan.leaves.length > 507);
    assert.equal(plan.nodes, Math.ceil(plan.leaves.length / 510));
    assert.equal(plan.blocks, 1 + plan.nodes + plan.leaves.length);
  });

  it("gives the same leaves for the same names in any order", () => {
    const entries = entriesOf(700);
    assert.deepEqual(planIndex(entries.toReversed(), SEED), planIndex(entries, SEED));
  });
});

function entriesOf(count: number) {
  return Array.from({ length: count }, (_, i) => ({ name: `entry number ${i}`, inode: 100 + i, type: 1 }));
}
