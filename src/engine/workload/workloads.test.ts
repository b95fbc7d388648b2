import assert from "node:assert/strict";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { reaches, WorkloadBench } from "../../../test/fixtures/workload-bench.js";
import { until } from "../common/notifier.js";

let bench: WorkloadBench;
beforeEach(async () => {
  bench = await WorkloadBench.open();
});
afterEach(() => bench[Symbol.asyncDispose]());

describe("a program that is left to itself", () => {
  it("has an id, its output, and its exit code", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    assert.deepEqual(bench.program().process.args, ["sleep", "9"]);
    assert.deepEqual(bench.program().process.env.slice(1), ["A=image", "B=exec"]);
    assert.deepEqual([entry.state, entry.status.pid, entry.record.boot], ["running", 100, 1]);
    assert.match(entry.id, /^[0-9a-f]{32}$/);
    const followed = bench.written(vm, entry, true);
    bench.program().print("one\n");
    bench.program().print("two\n");
    bench.program().exit(7);
    assert.equal(await followed, "one\ntwo\n");
    const { status } = await bench.engine.workloads.wait(vm.id, entry.id.slice(0, 8), undefined);
    assert.deepEqual([status.exitCode, status.reason], [7, "program-exited"]);
    assert.equal(await bench.written(vm, entry), "one\ntwo\n");
    assert.deepEqual(bench.engine.programs(vm, false), []);
    assert.deepEqual(bench.engine.programs(vm, true), [entry]);
  });

  it("is told of in events, each run's beginning and end", async () => {
    const vm = await bench.vm();
    const entry = await bench.restarting(vm, 1);
    bench.program().exit(4);
    await reaches(entry, "running", 2);
    bench.program(1).exit(5);
    await reaches(entry, "exited", 2);
    const told: unknown[] = [];
    const asked = { after: 0n, untilMs: Date.now() };
    for await (const { action, attributes } of bench.engine.events.read(asked)) {
      if (action.startsWith("exec_")) told.push([action, attributes.execID, attributes.exitCode]);
    }
    assert.deepEqual(told, [
      ["exec_start", entry.id, undefined],
      ["exec_die", entry.id, "4"],
      ["exec_start", entry.id, undefined],
      ["exec_die", entry.id, "5"],
    ]);
  });

  it("is forgotten by its agent once its output and its end are stored", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    bench.program().print("last words");
    bench.program().exit(0);
    await reaches(entry, "exited");
    await bench.nextKilnd(() => {
      assert.deepEqual(bench.guest.forgotten, [entry.agentId]);
      assert.equal(bench.program().acknowledged, 10n);
    });
  });

  it("leaves nothing where it can't be started, whatever its policy", async () => {
    const vm = await bench.vm();
    bench.guest.notFound = "nothere: not found";
    assert.deepEqual(await bench.outputs(vm, { restart: { name: "always", maximumRetryCount: 0 } }), [
      { kind: "exit", code: 127, error: "nothere: not found" },
    ]);
    assert.deepEqual(bench.engine.programs(vm, true), []);
    assert.deepEqual(await readdir(bench.path(vm)), []);
  });

  it("is started once, though the answer to its start was lost", async () => {
    const vm = await bench.vm();
    bench.guest.lostStarts = 1;
    assert.equal((await bench.start(vm)).state, "running");
    assert.equal(bench.guest.started.length, 1);
  });

  it("goes on over sessions that break, and no byte is there twice", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    bench.program().print("before ");
    bench.vmm.guest.cut("the session broke");
    bench.program().print("after");
    const followed = bench.written(vm, entry, true);
    bench.program().exit(3);
    assert.equal(await followed, "before after");
    assert.deepEqual(await bench.end(vm, entry), [3, "program-exited"]);
  });

  it("has said all that it said when its VM's program ended", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    const ended = bench.engine.reached(vm, "exited");
    bench.program().print("as the ship went down");
    bench.vmm.guest.exit(0);
    await ended;
    assert.equal(await bench.written(vm, entry), "as the ship went down");
    assert.deepEqual(await bench.end(vm, entry), [137, "vm-ended"]);
  });

  it("ends with its VM's boot, however that ends", async () => {
    const vm = await bench.vm();
    const ways = [
      () => bench.engine.vms.stop(vm.id),
      () => bench.engine.vms.kill(vm.id),
      () => bench.engine.vms.restart(vm.id),
      () => bench.vmm.guest.reboot(),
    ];
    for (const way of ways) {
      await bench.engine.vms.start(vm.id);
      const entry = await bench.start(vm);
      const followed = bench.written(vm, entry, true);
      await way();
      assert.deepEqual(await bench.end(vm, entry), [137, "vm-ended"], String(way));
      assert.equal(await followed, "");
    }
    await bench.engine.reached(vm, "running");
    assert.deepEqual(bench.engine.programs(vm, false), []);
  });

  it("goes with its VM", async () => {
    const vm = await bench.vm({ autoRemove: true });
    const entry = await bench.start(vm);
    const end = bench.end(vm, entry);
    bench.vmm.guest.exit(0);
    assert.deepEqual(await end, [137, "vm-ended"], "who waits is told before");
    await bench.engine.reached(vm, "removed");
    await assert.rejects(readdir(bench.path(vm)), { code: "ENOENT" });
  });
});

describe("a program that is left to itself, under the next kilnd", () => {
  it("is on disk as it was known when kilnd went", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    for (const message of ["one", "two", "three"]) void entry.note({ message });
    await bench.engine.close();
    const status = JSON.parse(await readFile(bench.path(vm, entry.id, "status.json"), "utf8"));
    assert.equal(status.message, "three");
  });

  it("goes on, and what came meanwhile is heard", async () => {
    const first = await bench.start(await bench.vm());
    bench.program().print("before ");
    await first.output.stored(7n, AbortSignal.timeout(60_000));
    const vm = await bench.nextKilnd(() => bench.program().print("between "));
    const entry = bench.find(vm, first.id);
    assert.notEqual(entry, first);
    assert.equal(entry.state, "running");
    const followed = bench.written(vm, entry, true);
    bench.program().print("after");
    bench.program().exit(5);
    assert.equal(await followed, "before between after");
    assert.deepEqual(await bench.end(vm, entry), [5, "program-exited"]);
    assert.equal(bench.guest.started.length, 1);
  });

  it("goes on where its stored output is lost, and what it says from then on is stored", async () => {
    const old = await bench.vm();
    const first = await bench.start(old);
    bench.program().print("before ");
    while (bench.program().acknowledged < 7n) await new Promise<void>((resolve) => setImmediate(resolve));
    const vm = await bench.nextKilnd(() => rm(bench.path(old, first.id, "log"), { recursive: true }));
    bench.program().print("after");
    bench.program().exit(0);
    assert.deepEqual(await bench.end(vm, first), [0, "program-exited"]);
    assert.equal(await bench.written(vm, first), "after");
  });

  it("has its end, where no kilnd saw that", async () => {
    const first = await bench.start(await bench.vm());
    const vm = await bench.nextKilnd(() => {
      bench.program().print("last");
      bench.program().exit(9);
    });
    assert.deepEqual(await bench.end(vm, first), [9, "program-exited"]);
    assert.equal(await bench.written(vm, first), "last");
  });

  it("is lost where its agent knows it no more", async () => {
    const first = await bench.start(await bench.vm());
    const vm = await bench.nextKilnd(() => bench.guest.all.clear());
    assert.deepEqual(await bench.end(vm, first), [125, "lost"]);
  });

  it("has ended where its VM has, or has booted anew", async () => {
    const first = await bench.start(await bench.vm());
    const vm = await bench.nextKilnd(() => bench.vmm.end("killed"));
    assert.deepEqual(await bench.end(vm, first), [137, "vm-ended"]);
    await bench.engine.vms.start(vm.id);
    const second = await bench.start(vm);
    const record = JSON.parse(await readFile(bench.path(vm, second.id, "workload.json"), "utf8"));
    const older = { ...record, boot: 1 };
    const found = await bench.nextKilnd(() =>
      writeFile(bench.path(vm, second.id, "workload.json"), JSON.stringify(older)),
    );
    assert.deepEqual(await bench.end(found, second), [137, "vm-ended"]);
  });

  it("is started where it was only written down that it will be", async () => {
    const old = await bench.vm();
    const first = await bench.start(old);
    const vm = await bench.nextKilnd(async () => {
      bench.guest.all.clear();
      const status = { ...first.status, state: "starting", pid: 0 };
      await writeFile(bench.path(old, first.id, "status.json"), JSON.stringify(status));
    });
    await reaches(bench.find(vm, first.id), "running");
    assert.equal(bench.program(1).id, first.agentId);
  });

  it("is asked for where its status is lost", async () => {
    const old = await bench.vm();
    const first = await bench.start(old);
    const vm = await bench.nextKilnd(async () => {
      for (const name of ["status.json", "status.json.bak"]) await rm(bench.path(old, first.id, name));
    });
    const entry = bench.find(vm, first.id);
    bench.program().exit(4);
    assert.deepEqual(await bench.end(vm, entry), [4, "program-exited"]);
  });

  it("is taken in, with a flaw, where nothing is on record of it", async () => {
    const old = await bench.vm();
    const first = await bench.start(old, { restart: { name: "always", maximumRetryCount: 0 } });
    const vm = await bench.nextKilnd(() => rm(bench.path(old), { recursive: true }));
    const entry = await until(vm.changed, () => bench.engine.programs(vm, true)[0]);
    assert.deepEqual([entry.id, entry.state, entry.record.args], [first.id, "running", []]);
    bench.program().exit(1);
    assert.deepEqual(await bench.end(vm, entry), [1, "program-exited"]);
    assert.equal(bench.guest.started.length, 1, "of what it was nothing is known: it is not restarted");
  });

  it("is forgotten by an agent that was not told of it before", async () => {
    const old = await bench.vm();
    const first = await bench.start(old);
    bench.program().exit(0);
    await reaches(first, "exited");
    let kept = bench.program();
    const vm = await bench.nextKilnd(() => {
      kept = bench.program();
      bench.guest.all.set(first.agentId, kept);
      bench.guest.forgotten.length = 0;
    });
    await until(vm.changed, () => (vm.live === undefined ? undefined : true));
    await bench.engine.vms.stop(vm.id);
    assert.deepEqual(bench.guest.forgotten, [first.agentId]);
  });
});
