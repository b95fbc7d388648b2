import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planStages, renderTiming } from "./boot-timing.js";

const CLIENT = { loadedMs: 100, createdMs: 130, askedMs: 131 };
const BOOT = {
  preparedMs: 4,
  spawnedMs: 20,
  helloMs: 1020,
  startedMs: 1120,
  guest: { initMs: 600, modulesMs: 800, helloMs: 850, rootMs: 920, startedMs: 930 },
};

describe("--timing", () => {
  it("gives each stage its moment on one clock and what it took", () => {
    assert.deepEqual(
      planStages({ ...CLIENT, endedMs: 1300 }, BOOT)
        .filter(({ atMs }) => atMs !== undefined)
        .map(({ atMs, tookMs }) => [atMs, tookMs]),
      [
        [100, 100],
        [130, 30],
        [135, 5],
        [151, 16],
        [1151, 1000],
        [1251, 100],
        [1300, 49],
      ],
    );
  });

  it("shows the guest's own steps below the stage they are part of", () => {
    const names = planStages(CLIENT, BOOT).map(({ name }) => name);
    assert.deepEqual(names.slice(4), [
      "agent says hello",
      "  kernel to init",
      "  modules",
      "  channel and hello",
      "program runs",
      "  root and network",
      "  fork and exec",
    ]);
  });

  it("prints a table", () => {
    assert.match(renderTiming(CLIENT, BOOT), /^STAGE +AT +TOOK\nkiln is loaded +100 ms +100 ms\n/);
    assert.match(renderTiming(CLIENT, BOOT), /\n {2}kernel to init +600 ms\n/);
  });
});
