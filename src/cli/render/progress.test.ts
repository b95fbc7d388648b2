import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Progress } from "../../sdk/index.js";
import { fakeContext } from "../fake-context.js";
import { openProgress, renderRows } from "./progress.js";

const layer = `sha256:${"ab".repeat(32)}`;

function step(more: Partial<Progress>): Progress {
  return { id: layer, status: "downloading", current: 0, total: 0, message: "", unit: "", ...more };
}

describe("renderRows", () => {
  it("draws a bar with sizes, as wide as there is room", () => {
    const [row] = renderRows([step({ current: 50_000_000, total: 100_000_000 })], 80);
    assert.equal(row, "abababababab: Downloading [===================>                   ] 50MB/100MB");
    const [narrow] = renderRows([step({ current: 5, total: 10 })], 40);
    assert.equal(narrow, "abababababab: Downloading 5B/10B");
  });

  it("counts in the step's own unit, of about so many", () => {
    const counted = { id: "compile", unit: "objects", total: 2140 };
    assert.deepEqual(
      renderRows(
        [step({ ...counted, status: "building", current: 107 }), step({ ...counted, status: "done" })],
        48,
      ),
      ["compile: Building 107 of about 2140 objects", "compile: Done 2140 objects"],
    );
  });

  it("draws no bar where the size is unknown or reached", () => {
    assert.deepEqual(
      renderRows([step({ current: 10 }), step({ id: "base", status: "done", total: 5 })], 80),
      ["abababababab: Downloading", "base: Done 5B"],
    );
  });

  it("never makes a row wider than the terminal, nor more rows than it can redraw", () => {
    const steps = Array.from({ length: 50 }, (_, index) =>
      step({ id: `layer-${index}`, message: "m".repeat(300) }),
    );
    const rows = renderRows(steps, 60);
    assert.equal(rows.length, 20);
    assert.equal(rows.at(-1), "and 31 more");
    assert.ok(rows.every((row) => row.length < 60));
  });

  it("does not let a message move the cursor", () => {
    const [row] = renderRows([step({ message: "\x1b[2Jboo\r" })], 80);
    assert.equal(row, "abababababab: Downloading \ufffd[2Jboo ");
  });
});

describe("openProgress", () => {
  it("writes a line for each change where there is no terminal", async () => {
    const world = fakeContext();
    const view = openProgress(world.context, undefined, false);
    for (const current of [1, 2, 3]) view.update(step({ current, total: 3 }));
    view.update(step({ status: "done", total: 3 }));
    await view.close();
    assert.equal(world.stderr, "abababababab: Downloading\nabababababab: Done 3B\n");
    assert.equal(world.stdout, "");
  });

  it("writes a line at each tenth of what is counted and takes long", async () => {
    const world = fakeContext();
    const view = openProgress(world.context, "plain", false);
    for (let current = 0; current <= 50; current++) {
      view.update(step({ id: "compile", status: "building", current, total: 200, unit: "objects" }));
    }
    await view.close();
    const counts = [0, 20, 40].map((current) => `compile: Building ${current} of about 200 objects\n`);
    assert.equal(world.stderr, counts.join(""));
  });

  it("writes JSON lines when asked", async () => {
    const world = fakeContext();
    const view = openProgress(world.context, "json", false);
    view.update(step({ current: 1, total: 3 }));
    await view.close();
    assert.deepEqual(JSON.parse(world.stderr), step({ current: 1, total: 3 }));
  });

  it("writes nothing when quiet", async () => {
    const world = fakeContext();
    const view = openProgress(world.context, "plain", true);
    view.update(step({}));
    await view.close();
    assert.equal(world.stderr, "");
  });

  it("redraws its rows in place on a terminal", async () => {
    const world = fakeContext({ isTTY: true });
    const view = openProgress(world.context, undefined, false);
    view.update(step({ current: 1, total: 2 }));
    await view.close();
    view.update(step({ status: "done", total: 2 }));
    await view.close();
    assert.ok(world.stderr.startsWith("\r\x1b[2Kabababababab: Downloading ["));
    assert.ok(world.stderr.endsWith("\x1b[1A\r\x1b[2Kabababababab: Done 2B\n"));
  });
});
