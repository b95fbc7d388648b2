import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { KilnError } from "../../base/errors.js";
import { hasReason } from "../../base/errors.js";
import {
  type Change,
  isEnded,
  isLive,
  mayFollow,
  requireState,
  transition,
  VM_STATES,
  type VmState,
} from "./state.js";
import { createdStatus, type VmStatus } from "./status.js";

const AT = "2026-01-02T03:04:05.000Z";

function changeTo(to: Exclude<VmState, "created">): Change {
  switch (to) {
    case "starting":
      return { to, at: AT, boot: 1, runDirectory: "/run/v/1" };
    case "running":
      return { to, at: AT };
    case "paused":
      return { to, reason: "" };
    case "stopping":
      return { to };
    case "exited":
      return { to, at: AT, exitCode: 3, reason: "program-exited" };
    case "failed":
      return { to, at: AT, reason: "vmm-died", message: "gone" };
  }
}

const CHANGES = VM_STATES.filter((state) => state !== "created").map(changeTo);

function inState(state: VmState): VmStatus {
  return { ...createdStatus(), state };
}

describe("transition", () => {
  const LEGAL: Record<VmState, VmState[]> = {
    created: ["starting"],
    starting: ["starting", "running", "stopping", "exited", "failed"],
    running: ["starting", "paused", "stopping", "exited", "failed"],
    paused: ["running", "stopping", "exited", "failed"],
    stopping: ["exited", "failed"],
    exited: ["starting"],
    failed: ["starting"],
  };
  for (const from of VM_STATES) {
    it(`leads from ${from} to ${LEGAL[from].join(", ")} and nowhere else`, () => {
      for (const change of CHANGES) {
        if (LEGAL[from].includes(change.to)) {
          assert.equal(transition(inState(from), change).state, change.to);
        } else {
          assert.throws(
            () => transition(inState(from), change),
            (error) => hasReason(error, "illegal-transition"),
          );
        }
      }
    });
  }

  it("keeps what belongs to a run out of the next one", () => {
    const ended = transition(transition(inState("created"), changeTo("starting")), changeTo("exited"));
    const again = transition({ ...ended, restartAt: AT }, changeTo("starting"));
    assert.equal(again.finishedAt, undefined);
    assert.equal(again.restartAt, undefined);
    assert.equal(again.exitCode, 0);
    assert.equal(again.reason, "");
  });

  it("never names a process, a launch or a port of a VM that has ended, whatever the way there", () => {
    const walk = fc.array(fc.constantFrom(...CHANGES), { maxLength: 40 });
    fc.assert(
      fc.property(walk, (changes) => {
        let status = createdStatus();
        for (const change of changes) {
          if (!mayFollow(status.state, change.to)) continue;
          status = transition(status, change);
          if (!isEnded(status.state)) continue;
          assert.equal(status.vmm, undefined);
          assert.equal(status.launch, undefined);
          assert.deepEqual(status.ports, []);
          assert.ok(status.finishedAt !== undefined);
        }
      }),
    );
  });

  it("keeps the time of the start over a pause", () => {
    const running = transition(transition(inState("created"), changeTo("starting")), {
      to: "running",
      at: AT,
    });
    const paused = transition(running, changeTo("paused"));
    assert.equal(transition(paused, { to: "running", at: "2027-01-01T00:00:00.000Z" }).startedAt, AT);
  });
});

describe("isLive and isEnded", () => {
  it("exclude one another, and only a created VM is neither", () => {
    for (const state of VM_STATES) {
      assert.equal(Number(isLive(state)) + Number(isEnded(state)), state === "created" ? 0 : 1, state);
    }
  });
});

describe("requireState", () => {
  it("names -f where a VM that runs shall be removed, and only there", () => {
    for (const [verb, names] of [
      ["remove", true],
      ["start", false],
    ] as const)
      assert.throws(
        () => requireState(verb, "urn", "running", []),
        (error) => (error as KilnError).hint?.includes("kiln rm -f") === names,
      );
  });

  it("names the verb, the VM, the state and what to do", () => {
    assert.throws(() => requireState("exec in", "urn", "paused", ["running"]), {
      message: "cannot exec in VM urn: it is paused",
      reason: "vm-paused",
      code: 9,
      hint: "resume it with `kiln unpause`",
    });
  });
});
