import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type HashSeed, hashName } from "./name-hash.js";

const NO_SEED: HashSeed = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
const SEED: HashSeed = [0x04030201, 0x08070605, 0x0c0b0a09, 0x100f0e0d];

describe("hashName", () => {
  it("gives what e2fsprogs' dx_hash gives without a seed", () => {
    assert.deepEqual(hashName("hello", NO_SEED), { hash: 0x1746da32, minor: 0x420013b5 });
  });

  it("gives what e2fsprogs' dx_hash gives with a seed", () => {
    assert.deepEqual(hashName("hello", SEED), { hash: 0xe2ddf968, minor: 0xc8bc0924 });
  });

  it("gives even hashes, because the lowest bit marks a continued leaf", () => {
    for (let i = 0; i < 1000; i++) assert.equal(hashName(`name ${i}`, SEED).hash & 1, 0);
  });

  it("tells names apart that differ after the first 32 bytes", () => {
    const name = "x".repeat(40);
    assert.notDeepEqual(hashName(`${name}a`, SEED), hashName(`${name}b`, SEED));
  });

  it("takes bytes above 127 as unsigned", () => {
    // With signed bytes it would be 0x1c34a04c, which dx_hash gives on x86.
    assert.deepEqual(hashName("\xe4", SEED), { hash: 0x0d90747e, minor: 0x2ca4f64f });
  });
});
