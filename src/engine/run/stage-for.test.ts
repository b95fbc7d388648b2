import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { GuestPhase } from "../../agent/index.js";
import { isLive, VM_STATES, type VmState } from "../vm/state.js";
import type { VmStatus } from "../vm/status.js";
import { type Found, stageFor } from "./stage-for.js";

const VMM: NonNullable<VmStatus["vmm"]> = {
  driver: "qemu",
  process: { pid: 1, startTime: "1" },
  capabilities: {
    accelerator: "tcg",
    channel: "virtio-serial",
    userNetwork: true,
    freePageReporting: false,
    poweroffExits: true,
    tellsReboot: true,
    pause: true,
    maxDisks: 0,
    maxVcpus: 0,
  },
  facts: {},
};

const PHASES: readonly (GuestPhase | undefined)[] = [
  undefined,
  "waiting",
  "booting",
  "held",
  "running",
  "exited",
  "ending",
  "unknown",
];

interface Combination {
  readonly state: VmState;
  readonly known: boolean;
  readonly phase: GuestPhase | undefined;
  readonly pending: boolean;
  readonly found: Found;
}

const ALL: readonly Combination[] = VM_STATES.flatMap((state) =>
  [true, false].flatMap((known) =>
    PHASES.flatMap((phase) =>
      [true, false].map((pending) => {
        const status = known ? { state, vmm: VMM } : { state };
        return { state, known, phase, pending, found: stageFor(status, phase, pending) };
      }),
    ),
  ),
);

/** All combinations for which one holds are exactly those for which the other does. */
function same(what: (of: Combination) => boolean, as: (of: Combination) => boolean): void {
  assert.deepEqual(ALL.filter(what), ALL.filter(as));
}

const cut = ({ state, known }: Combination) => known && state === "starting";

describe("where a run goes on, over all that may be found", () => {
  it("is nowhere exactly where nothing is on record that runs", () => {
    assert.equal(ALL.length, VM_STATES.length * 2 * PHASES.length * 2);
    same(
      ({ found }) => found === "gone",
      ({ state, known }) => !known || !isLive(state),
    );
  });

  it("is its life wherever its boot is on record as done, whatever the guest says", () => {
    const done = ALL.filter((of) => of.found === "live" && of.state !== "starting");
    assert.deepEqual(
      done,
      ALL.filter(({ state, known }) => known && isLive(state) && state !== "starting"),
    );
  });

  it("is the hello of a boot whose guest was not asked", () => {
    same(
      ({ found }) => found === "hello",
      (of) => cut(of) && of.phase === undefined,
    );
  });

  it("boots a guest exactly where that waits for it: never twice", () => {
    same(
      ({ found }) => found === "setup",
      (of) => cut(of) && of.phase === "waiting",
    );
  });

  it("starts a program exactly where that is held, behind the files that wait", () => {
    same(
      ({ found }) => found === "files",
      (of) => cut(of) && of.phase === "held" && of.pending,
    );
    same(
      ({ found }) => found === "workload",
      (of) => cut(of) && of.phase === "held" && !of.pending,
    );
  });

  it("waits only for a hold that will come", () => {
    same(
      ({ found }) => found === "hold",
      (of) => cut(of) && of.phase === "booting" && of.pending,
    );
  });
});
