import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CONTAINER } from "../../../../test/fixtures/container-spec.js";
import { planResources, weightOf } from "./resources.js";

const NONE = CONTAINER.resources;

describe("planResources", () => {
  it("limits nothing but devices where nothing is asked for", () => {
    assert.deepEqual(planResources(NONE, false), {
      ...{ memory: {}, cpu: {}, hugepageLimits: [], unified: {} },
      devices: [{ allow: false, access: "rwm" }],
    });
  });

  it("says every limit that is asked for", () => {
    const cpu = { cpuPeriodUs: 100_000, cpuQuotaUs: 50_000, cpuShares: 1024, cpus: "0-1", memoryNodes: "0" };
    const memory = { memoryBytes: 2 ** 20, memorySwapBytes: 2 ** 21, hugePages: { "2MB": 2 ** 22 } };
    const unified = { "memory.oom.group": "1" };
    const planned = planResources({ ...NONE, ...cpu, ...memory, unified }, false);
    assert.deepEqual(planned.cpu, { quota: 50_000, period: 100_000, cpus: "0-1", mems: "0" });
    assert.deepEqual(planned.memory, { limit: 2 ** 20, swap: 2 ** 21 });
    assert.deepEqual(planned.hugepageLimits, [{ pageSize: "2MB", limit: 2 ** 22 }]);
    assert.deepEqual(planned.unified, { "cpu.weight": "100", "memory.oom.group": "1" });
  });

  it("takes an unlimited quota for what it is, and version 2's own words before all others", () => {
    assert.deepEqual(planResources({ ...NONE, cpuQuotaUs: -1 }, false).cpu, { quota: -1 });
    const planned = planResources({ ...NONE, cpuShares: 1024, unified: { "cpu.weight": "7" } }, false);
    assert.deepEqual(planned.unified, { "cpu.weight": "7" });
  });

  it("opens every device to a privileged container", () => {
    assert.deepEqual(planResources(NONE, true).devices, [{ allow: true, access: "rwm" }]);
  });
});

describe("weightOf", () => {
  for (const [shares, weight] of [
    [0, 0],
    [1, 1],
    [2, 1],
    [512, 59],
    [1024, 100],
    [262_144, 10_000],
    [1_000_000, 10_000],
  ] as const) {
    it(`${shares} is ${weight}`, () => assert.equal(weightOf(shares), weight));
  }

  it("grows with the shares", () => {
    let last = 0;
    for (let shares = 2; shares <= 262_144; shares += 97) {
      const weight = weightOf(shares);
      assert.ok(weight >= last && weight <= 10_000, `${shares}: ${weight}`);
      last = weight;
    }
  });
});
