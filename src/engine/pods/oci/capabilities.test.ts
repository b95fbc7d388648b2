import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../../base/errors.js";
import type { CapabilityChanges } from "../containers/spec.js";
import { planCapabilities } from "./capabilities.js";

const plan = (changes: Partial<CapabilityChanges>, privileged = false) =>
  planCapabilities({ add: [], drop: [], ambient: [], ...changes }, privileged);

describe("planCapabilities", () => {
  it("gives the usual ones, none of them inheritable or ambient", () => {
    const { bounding, effective, permitted, inheritable, ambient } = plan({});
    assert.equal(bounding.length, 14);
    assert.ok(bounding.includes("CAP_NET_BIND_SERVICE") && !bounding.includes("CAP_SYS_ADMIN"));
    assert.deepEqual([effective, permitted], [bounding, bounding]);
    assert.deepEqual([inheritable, ambient], [[], []]);
  });

  it("adds and drops, with the prefix and without, in any case", () => {
    const { bounding } = plan({ add: ["NET_ADMIN", "cap_sys_time"], drop: ["chown"] });
    assert.ok(bounding.includes("CAP_NET_ADMIN") && bounding.includes("CAP_SYS_TIME"));
    assert.ok(!bounding.includes("CAP_CHOWN"));
  });

  it("knows all of them", () => {
    assert.equal(plan({ add: ["ALL"] }).bounding.length, 41);
    assert.deepEqual(plan({ drop: ["ALL"] }).bounding, []);
    assert.deepEqual(plan({ drop: ["ALL"], add: ["KILL"] }).bounding, ["CAP_KILL"]);
    const butOne = plan({ add: ["ALL"], drop: ["SYS_ADMIN"] }).bounding;
    assert.equal(butOne.length, 40);
    assert.ok(!butOne.includes("CAP_SYS_ADMIN"));
    assert.deepEqual(plan({ add: ["ALL"], drop: ["ALL"] }).bounding, []);
    assert.equal(plan({ drop: ["ALL"] }, true).bounding.length, 41);
  });

  it("drops what is in both lists", () => {
    assert.ok(!plan({ add: ["NET_ADMIN"], drop: ["NET_ADMIN"] }).bounding.includes("CAP_NET_ADMIN"));
  });

  it("makes what is ambient inheritable, and everything else with it", () => {
    const { ambient, inheritable, bounding } = plan({ ambient: ["SYS_NICE"] });
    assert.deepEqual([ambient, inheritable], [["CAP_SYS_NICE"], ["CAP_SYS_NICE"]]);
    assert.ok(bounding.includes("CAP_SYS_NICE"));
    assert.deepEqual(plan({ ambient: ["SYS_NICE"], drop: ["SYS_NICE"] }).ambient, []);
    assert.equal(plan({ ambient: ["ALL"] }).ambient.length, 14);
  });

  it("refuses what there is not, of a privileged container too", () => {
    for (const changes of [{ add: ["NOPE"] }, { drop: ["CAP_"] }, { ambient: [""] }]) {
      for (const privileged of [false, true]) {
        assert.throws(
          () => plan(changes, privileged),
          (error) => hasReason(error, "bad-capability"),
        );
      }
    }
  });
});
