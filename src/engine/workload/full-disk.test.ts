// Programs that are left to themselves on a disk without a free byte: none is begun that can't be kept, and none that runs
// is lost for it.

import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fillDisk } from "../../../test/fixtures/patched-files.js";
import { reaches, WorkloadBench } from "../../../test/fixtures/workload-bench.js";
import { hasReason } from "../../base/errors.js";
import { until } from "../common/notifier.js";

let bench: WorkloadBench;
/** Until it is disposed of, nothing of a program but its output can be written. */
let full: Disposable | undefined;
beforeEach(async () => {
  bench = await WorkloadBench.open({ linkPauses: { first: 1, longest: 4 } });
});
afterEach(async () => {
  giveRoom();
  await bench[Symbol.asyncDispose]();
});

function fill(): void {
  full = fillDisk((path) => path.includes("/exec/"));
}

function giveRoom(): void {
  full?.[Symbol.dispose]();
  full = undefined;
}

async function comes(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => setImmediate(resolve));
}

describe("a program that is left to itself, on a full disk", () => {
  it("is not started, and leaves nothing", async () => {
    const vm = await bench.vm();
    fill();
    await assert.rejects(bench.start(vm), (error) => hasReason(error, "host-disk-full"));
    assert.deepEqual([await readdir(bench.path(vm)), bench.guest.started], [[], []]);
    assert.deepEqual(bench.engine.programs(vm, true), []);
    giveRoom();
    assert.equal((await bench.start(vm)).state, "running");
  });

  it("has its end, which its agent keeps until it is written", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    fill();
    bench.program().print("last");
    bench.program().exit(7);
    assert.deepEqual(await bench.end(vm, entry), [7, "program-exited"]);
    assert.equal(await bench.written(vm, entry, true), "last");
    assert.deepEqual(bench.guest.forgotten, []);
    giveRoom();
    await comes(() => bench.guest.forgotten.includes(entry.agentId));
    const next = await bench.nextKilnd();
    assert.deepEqual(await bench.end(next, entry), [7, "program-exited"]);
  });

  it("has its end under the next kilnd, though the last one could not write that", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    fill();
    bench.program().exit(9);
    await bench.end(vm, entry);
    const next = await bench.nextKilnd(giveRoom);
    assert.deepEqual(await bench.end(next, entry), [9, "program-exited"]);
  });

  it("is killed, also between two runs", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    const resting = await bench.restarting(vm);
    bench.program(1).exit(6);
    await reaches(resting, "restarting");
    fill();
    await bench.engine.workloads.signal(vm.id, resting.id, "KILL");
    await bench.engine.workloads.signal(vm.id, entry.id, "KILL");
    assert.deepEqual(await bench.end(vm, resting), [6, "program-exited"]);
    assert.deepEqual(await bench.end(vm, entry), [137, "program-exited"]);
  });

  it("is brought back, and goes on under the next kilnd, which finds an older run on record", async () => {
    const vm = await bench.vm();
    const entry = await bench.restarting(vm);
    fill();
    bench.program().exit(1);
    await reaches(entry, "running", 2);
    const next = await bench.nextKilnd();
    const found = bench.find(next, entry.id);
    await reaches(found, "running", 2);
    assert.equal(bench.program(1).ended, undefined);
    await comes(() => bench.guest.forgotten.includes(`${entry.id}00000001`));
    bench.program(1).print("the second run");
    bench.program(1).exit(0);
    assert.deepEqual(await bench.end(next, entry), [0, "program-exited"]);
    assert.equal(await bench.written(next, entry), "the second run");
  });

  it("is taken in where its files are lost", async () => {
    const old = await bench.vm();
    const first = await bench.start(old);
    const vm = await bench.nextKilnd(async () => {
      await rm(bench.path(old), { recursive: true });
      fill();
    });
    const entry = await until(vm.changed, () => bench.engine.programs(vm, true)[0]);
    bench.program().exit(4);
    assert.deepEqual(await bench.end(vm, entry), [4, "program-exited"]);
    assert.equal(entry.id, first.id);
  });
});

describe("a program whose agent answers its start oddly", () => {
  it("is not started in the end, which is told once in kilnd's log", async () => {
    const vm = await bench.vm();
    bench.guest.lostStarts = 1_000;
    const [outcome] = await bench.outputs(vm);
    assert.deepEqual([outcome?.kind, outcome?.kind === "exit" && outcome.code], ["exit", 126]);
    assert.deepEqual([...bench.guest.all], [], "what its agent may have started is ended");
    const told = bench.world.logged.filter((line) => line.includes("is not seen to"));
    assert.equal(told.length, 1, told.join(""));
  });
});
