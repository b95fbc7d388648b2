import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { holdInPlace } from "../../../test/fixtures/patched-files.js";
import { reaches, WorkloadBench } from "../../../test/fixtures/workload-bench.js";
import { hasReason } from "../../base/errors.js";
import { deferred } from "../../base/runtime.js";
import { until } from "../common/notifier.js";

let bench: WorkloadBench;
beforeEach(async () => {
  bench = await WorkloadBench.open();
});
afterEach(() => bench[Symbol.asyncDispose]());

const failsWith = (reason: string) => (error: unknown) => hasReason(error, reason);

describe("a program with a restart policy", () => {
  it("is brought back as often as that says, all its output in one log", async () => {
    const vm = await bench.vm();
    const entry = await bench.restarting(vm, 2);
    const followed = bench.written(vm, entry, true);
    for (const run of [1, 2, 3]) {
      await reaches(entry, "running", run);
      bench.program(run - 1).print(`run ${run}\n`);
      bench.program(run - 1).exit(run);
    }
    assert.equal(await followed, "run 1\nrun 2\nrun 3\n");
    assert.deepEqual(await bench.end(vm, entry), [3, "program-exited"]);
    assert.equal(entry.status.restartCount, 2);
    const ids = bench.guest.started.map(({ id }) => id);
    assert.deepEqual(
      ids,
      [1, 2, 3].map((run) => `${entry.id}0000000${run}`),
      "a name for each run",
    );
  });

  it("stays ended where it ended well, or a user ended it", async () => {
    const vm = await bench.vm();
    const well = await bench.restarting(vm);
    bench.program().exit(0);
    assert.deepEqual(await bench.end(vm, well), [0, "program-exited"]);
    const killed = await bench.restarting(vm);
    await bench.engine.workloads.signal(vm.id, killed.id, "");
    assert.deepEqual(await bench.end(vm, killed), [137, "program-exited"]);
    assert.deepEqual(bench.program(1).signals, [9]);
    const asked = await bench.restarting(vm);
    await bench.engine.workloads.signal(vm.id, asked.id, "TERM");
    bench.program(2).exit(143);
    assert.deepEqual(await bench.end(vm, asked), [143, "program-exited"]);
    assert.equal(bench.guest.started.length, 3);
  });

  it("ends with its VM where the agent had to kill it for that", async () => {
    const vm = await bench.vm();
    const entry = await bench.restarting(vm);
    bench.program().exit(137, "", true);
    assert.deepEqual(await bench.end(vm, entry), [137, "vm-ended"]);
    assert.equal(bench.guest.started.length, 1);
  });

  it("is not brought back while its VM is being stopped", async () => {
    bench.world.behaviours = [{ stubborn: true }];
    const vm = await bench.vm();
    const entry = await bench.restarting(vm);
    const stopping = bench.engine.vms.stop(vm.id, { timeoutMs: 60_000 });
    await until(vm.changed, () => vm.state === "stopping" || undefined);
    bench.program().exit(143);
    await reaches(entry, "restarting");
    bench.world.clockAheadMs += 1000;
    bench.vmm.guest.cut("the session broke");
    const other = await bench.start(vm);
    await bench.engine.vms.kill(vm.id);
    await stopping;
    assert.deepEqual(await bench.end(vm, entry), [137, "vm-ended"]);
    const ids = bench.guest.started.map(({ id }) => id);
    assert.deepEqual(ids, [`${entry.id}00000001`, other.agentId]);
  });

  it("can be ended between two runs", async () => {
    const vm = await bench.vm();
    const entry = await bench.restarting(vm);
    const followed = bench.written(vm, entry, true);
    bench.program().exit(6);
    await reaches(entry, "restarting");
    await bench.engine.workloads.signal(vm.id, entry.id, "KILL");
    assert.equal(await followed, "");
    assert.deepEqual(await bench.end(vm, entry), [6, "program-exited"]);
  });

  it("is brought back by the next kilnd, as if that had been the same", async () => {
    const first = await bench.restarting(await bench.vm());
    bench.program().print("one ");
    bench.program().exit(1);
    await reaches(first, "restarting");
    const vm = await bench.nextKilnd();
    const entry = bench.find(vm, first.id);
    const followed = bench.written(vm, entry, true);
    await reaches(entry, "running", 2);
    bench.program(1).print("two");
    bench.program(1).exit(0);
    assert.equal(await followed, "one two");
    assert.equal(entry.status.restartCount, 1);
  });

  it("waits longer each time that it can't be started again, however long it ran before", async () => {
    const vm = await bench.vm();
    const entry = await bench.restarting(vm);
    await entry.note({ startedAt: new Date(0).toISOString() });
    bench.guest.notFound = "job: gone";
    const delays: number[] = [];
    bench.program().exit(1);
    for (const run of [1, 2, 3]) {
      await reaches(entry, "restarting", run);
      delays.push(entry.status.restartDelayMs);
    }
    assert.deepEqual(delays, [100, 200, 400]);
    await bench.engine.workloads.signal(vm.id, entry.id, "KILL");
  });

  it("is brought back when it is due, though the clock was set back while no kilnd ran", async () => {
    const first = await bench.restarting(await bench.vm());
    bench.program().exit(1);
    await reaches(first, "restarting");
    await first.note({ restartAt: new Date(Date.now() + 3_600_000).toISOString() });
    const vm = await bench.nextKilnd();
    await reaches(bench.find(vm, first.id), "running", 2);
    assert.equal(bench.guest.started.length, 2);
  });

  it("takes the policies that make sense for it", async () => {
    const vm = await bench.vm();
    for (const restart of [
      { name: "unless-stopped", maximumRetryCount: 0 },
      { name: "always", maximumRetryCount: 3 },
    ] as const) {
      await assert.rejects(bench.outputs(vm, { restart }), failsWith("bad-restart-policy"));
    }
    assert.equal(bench.guest.started.length, 0);
  });
});

describe("verbs for programs that are left to themselves", () => {
  it("pass signals on, and know one that is over", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    await bench.engine.workloads.signal(vm.id, entry.id, "HUP");
    assert.deepEqual(bench.program().signals, [1]);
    bench.program().exit(0);
    await bench.end(vm, entry);
    await assert.rejects(bench.engine.workloads.signal(vm.id, entry.id, "HUP"), failsWith("exec-ended"));
  });

  it("find by unique prefix, and say what there is", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    assert.equal(bench.find(vm, entry.id.slice(0, 10)), entry);
    assert.throws(() => bench.find(vm, "xyz"), failsWith("exec-not-found"));
    assert.throws(() => bench.find(vm, ""), failsWith("exec-not-found"));
    for (let count = 0; count < 16; count++) await bench.start(vm);
    const heads = bench.engine.programs(vm, true).map(({ id }) => id.slice(0, 1));
    const twice = heads.find((head, at) => heads.indexOf(head) !== at) ?? "";
    assert.throws(() => bench.find(vm, twice), failsWith("ambiguous-id"));
  });

  it("remove one that is over, and by force one that runs", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    await assert.rejects(bench.engine.workloads.remove(vm.id, entry.id, false), failsWith("exec-running"));
    await bench.engine.workloads.remove(vm.id, entry.id, true);
    assert.deepEqual(bench.program().signals, [9]);
    assert.throws(() => bench.find(vm, entry.id), failsWith("exec-not-found"));
    assert.deepEqual(await readdir(bench.path(vm)), []);
  });

  it("remove one once: who comes second is told", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    const both = await Promise.allSettled(
      [1, 2].map(() => bench.engine.workloads.remove(vm.id, entry.id, true)),
    );
    const refused = both.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
    assert.deepEqual(refused.map(failsWith("exec-not-found")), [true]);
  });

  it("leave one whose directory can't be moved away as it was", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    bench.program().exit(3);
    await bench.end(vm, entry);
    const stuck = holdInPlace((path) => path.endsWith(entry.id));
    await assert.rejects(bench.engine.workloads.remove(vm.id, entry.id, false), { code: "EROFS" });
    stuck[Symbol.dispose]();
    assert.deepEqual(bench.engine.programs(vm, true), [entry]);
    await bench.engine.workloads.remove(vm.id, entry.id, false);
    assert.deepEqual(await readdir(bench.path(vm)), []);
  });

  it("end one whose caller has left before it could hear of it, and no other", async () => {
    const vm = await bench.vm();
    const answer = deferred<void>();
    bench.guest.answering = answer.promise;
    const caller = new AbortController();
    const started = bench.outputs(vm, {}, caller.signal);
    while (bench.guest.started.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const entry = bench.find(vm, bench.program().id.slice(0, 32));
    caller.abort();
    await assert.rejects(started);
    answer.resolve();
    await until(entry.changed, () => (entry.removed ? true : undefined));
    assert.deepEqual(bench.program().signals, [9]);
    const heard = new AbortController();
    const [kept] = await bench.outputs(vm, {}, heard.signal);
    assert.equal(kept?.kind, "started");
    heard.abort();
    assert.equal(bench.engine.workloads.list(vm.id, false).length, 1);
  });

  it("start no more than can be seen to, and say so", async () => {
    const vm = await bench.vm();
    const starts = Array.from({ length: 33 }, () => bench.start(vm));
    const made = await Promise.allSettled(starts);
    assert.equal(made.filter(({ status }) => status === "fulfilled").length, 32);
    await assert.rejects(bench.start(vm), failsWith("too-many-execs"));
    bench.program().exit(0);
    const [first] = bench.engine.programs(vm, true).filter(({ agentId }) => agentId === bench.program().id);
    assert.ok(first !== undefined);
    await bench.end(vm, first);
    assert.equal((await bench.start(vm)).state, "running");
  });

  it("keep the last 32 that have ended", async () => {
    const vm = await bench.vm();
    const all = [];
    for (let count = 0; count < 34; count++) {
      const entry = await bench.start(vm);
      bench.program(count).exit(count);
      await bench.end(vm, entry);
      all.push(entry);
      bench.world.clockAheadMs += 1000;
    }
    await bench.nextKilnd();
    const kept = bench.engine.programs(bench.engine.entry("urn"), true).map(({ id }) => id);
    assert.deepEqual(
      kept,
      all.slice(-32).map(({ id }) => id),
    );
    assert.deepEqual((await readdir(bench.path(vm))).sort(), [...kept].sort());
  });

  it("take no output away from who reads it, however many have ended since", async () => {
    const vm = await bench.vm();
    const first = await bench.start(vm);
    bench.program().print("all of it");
    const rest = Array.from({ length: 33 }, (_, at) => at + 1);
    const reading = bench.engine.workloads.logs(vm.id, first.id, { follow: true });
    const chunk = await reading.next();
    for (const number of [0, ...rest]) {
      const entry = number === 0 ? first : await bench.start(vm);
      bench.program(number).exit(0);
      await bench.end(vm, entry);
      bench.world.clockAheadMs += 1000;
    }
    assert.equal(bench.find(vm, first.id), first);
    assert.equal(Buffer.from(chunk.value?.data ?? "").toString(), "all of it");
    assert.equal((await reading.next()).done, true);
    bench.program((await bench.start(vm)).status.pid - 100).exit(0);
    await until(first.changed, () => first.removed || undefined);
  });

  it("leave a VM whose agent keeps no programs what it could before", async () => {
    bench.world.behaviours = [{ features: [] }];
    const vm = await bench.vm();
    const outputs = await bench.outputs(vm);
    assert.deepEqual(outputs[0], { kind: "started", pid: 7, resumable: false, stdinNext: 0n });
    assert.deepEqual(bench.engine.programs(vm, true), []);
    await assert.rejects(bench.restarting(vm), failsWith("agent-too-old"));
    await assert.rejects(bench.outputs(vm, { keep: true }), failsWith("agent-too-old"));
  });

  it("refuse a VM that does not run", async () => {
    const vm = await bench.vm();
    await bench.engine.vms.stop(vm.id);
    await assert.rejects(bench.start(vm), failsWith("vm-exited"));
    await assert.rejects(readdir(bench.path(vm)), { code: "ENOENT" });
  });
});
