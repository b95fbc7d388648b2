import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  boundedCount,
  boundedExitCode,
  boundedMilliseconds,
  boundedPid,
  boundedProcesses,
  boundedSignal,
  usedMemory,
} from "./guest-numbers.js";

const MOST = 2n ** 64n - 1n;

describe("numbers out of a guest", () => {
  it("are kept where they can be", () => {
    assert.equal(boundedCount(7n), 7n);
    assert.equal(usedMemory(100n, 60n, 1000), 40);
    assert.equal(boundedProcesses(12), 12);
    assert.deepEqual([0, 1, 137, 255].map(boundedExitCode), [0, 1, 137, 255]);
    assert.equal(boundedMilliseconds(1500n), 1.5);
    assert.deepEqual([0, 9, 64].map(boundedSignal), [0, 9, 64]);
    assert.deepEqual([0, 1, 4_194_304].map(boundedPid), [0, 1, 4_194_304]);
  });
  it("are bounded where they can't", () => {
    assert.deepEqual([boundedCount(MOST), boundedCount(-1n)], [BigInt(Number.MAX_SAFE_INTEGER), 0n]);
    assert.equal(usedMemory(60n, 100n, 1000), 0, "more available than there is");
    assert.equal(usedMemory(MOST, 0n, 1000), 1000, "more than the machine has");
    assert.deepEqual([boundedProcesses(2 ** 32 - 1), boundedProcesses(-1)], [4_194_304, 0]);
    assert.deepEqual([-1, 256, 2 ** 31, 1.5, Number.NaN].map(boundedExitCode), [255, 255, 255, 255, 255]);
    assert.equal(boundedMilliseconds(MOST), 86_400_000);
    assert.deepEqual([-9, 65, 2 ** 31 - 1].map(boundedSignal), [0, 0, 0]);
    assert.deepEqual([-1, 2 ** 31 - 1].map(boundedPid), [0, 0]);
  });
});
