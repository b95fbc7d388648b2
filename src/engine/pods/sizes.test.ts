import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "../../base/errors.js";
import { type PodSizeFacts, planPodSize } from "./sizes.js";

const MIB = 1024 ** 2;
const HOST = { cpus: 8, memoryBytes: 16 * 1024 * MIB };
const NOTHING: PodSizeFacts = {
  ...{ cgroup: undefined, resources: {}, overhead: {}, annotation: {} },
  ...{ host: HOST, besideBytes: 40 * MIB },
};

const sizeOf = (facts: Partial<PodSizeFacts>) => planPodSize({ ...NOTHING, ...facts });

describe("planPodSize", () => {
  it("believes the pod's cgroup before all else", () => {
    const facts = {
      cgroup: { memoryBytes: 1040 * MIB, cpus: 1.5 },
      resources: { memoryBytes: 64 * MIB, cpus: 7 },
      annotation: { memoryBytes: 4096 * MIB, cpus: 6 },
    };
    assert.deepEqual(sizeOf(facts), { vcpus: 2, memoryBytes: 1000 * MIB, by: "cgroup" });
  });

  it("takes the sums and the overhead where there is no cgroup", () => {
    const facts = {
      resources: { memoryBytes: 256 * MIB, cpus: 1 },
      overhead: { memoryBytes: 60 * MIB, cpus: 0.25 },
    };
    assert.deepEqual(sizeOf(facts), { vcpus: 2, memoryBytes: 276 * MIB, by: "resources" });
  });

  it("does not take the sums for a limit where the cgroup has none", () => {
    const resources = { memoryBytes: 128 * MIB };
    assert.deepEqual(sizeOf({ cgroup: {}, resources }), { vcpus: 4, memoryBytes: 512 * MIB, by: "default" });
    const annotation = { memoryBytes: 2048 * MIB, cpus: 6 };
    const annotated = sizeOf({ cgroup: {}, resources, annotation });
    assert.deepEqual(annotated, { vcpus: 6, memoryBytes: 2048 * MIB, by: "annotation" });
  });

  it("lets containers with a limit reach it, whatever is said beside", () => {
    const resources = { memoryBytes: 1064 * MIB };
    const facts = { cgroup: {}, resources, annotation: { memoryBytes: 256 * MIB } };
    assert.deepEqual(sizeOf(facts), { vcpus: 4, memoryBytes: 1024 * MIB, by: "resources" });
  });

  it("has as many processors as the pod asks for, where it is not limited", () => {
    assert.equal(sizeOf({ cgroup: { cpuRequest: 6.2 } }).vcpus, 7);
    assert.equal(sizeOf({ cgroup: { cpuRequest: 0.1 } }).vcpus, 4);
    assert.equal(sizeOf({ cgroup: { cpuRequest: 6.2, cpus: 1 } }).vcpus, 1);
    assert.equal(sizeOf({ host: { ...HOST, cpus: 2 } }).vcpus, 2);
  });

  it("refuses a pod whose limit leaves nothing to boot in, with what to do", () => {
    assert.throws(
      () => sizeOf({ cgroup: { memoryBytes: 64 * MIB } }),
      (error) =>
        hasReason(error, "pod-too-small") &&
        /24.*64/.test((error as KilnError).message) &&
        /40/.test(hintOf(error)),
    );
    assert.throws(
      () => sizeOf({ cgroup: { memoryBytes: 4096 } }),
      (error) => hasReason(error, "pod-too-small"),
    );
  });

  it("fits into the host, with whole MiB and processors, or is refused", () => {
    const amount = fc.option(fc.double({ min: 0, max: 2 ** 53, noNaN: true }), { nil: undefined });
    const cpus = fc.option(fc.double({ min: 0, max: 10_000, noNaN: true }), { nil: undefined });
    const limits = fc.record({ memoryBytes: amount, cpus, cpuRequest: cpus });
    const facts = fc.record({
      cgroup: fc.option(limits, { nil: undefined }),
      ...{ resources: limits, overhead: limits, annotation: limits },
    });
    fc.assert(
      fc.property(facts, (some) => {
        try {
          const { vcpus, memoryBytes } = sizeOf(some);
          assert.ok(Number.isInteger(vcpus) && vcpus >= 1 && vcpus <= HOST.cpus, `${vcpus}`);
          assert.equal(memoryBytes % MIB, 0);
          assert.ok(memoryBytes >= 64 * MIB && memoryBytes <= HOST.memoryBytes, `${memoryBytes}`);
        } catch (error) {
          assert.ok(error instanceof KilnError && error.reason === "pod-too-small", String(error));
        }
      }),
    );
  });
});

function hintOf(error: unknown): string {
  return error instanceof KilnError ? (error.hint ?? "") : "";
}
