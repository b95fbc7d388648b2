// An agent that is somebody else's answers what kilnd asks about programs: whatever it says is bounded or refused, costs
// nobody but its own guest, and ends nothing that runs.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { reaches, WorkloadBench } from "../../../test/fixtures/workload-bench.js";
import { deferred } from "../../base/runtime.js";
import { Stream } from "../../gen/kiln/agent/v1/common_pb.js";
import { WorkloadKind } from "../../gen/kiln/agent/v1/workload_pb.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";

let bench: WorkloadBench;
beforeEach(async () => {
  bench = await WorkloadBench.open();
});
afterEach(() => bench[Symbol.asyncDispose]());

const foreignId = (number: number, run = 1) =>
  number.toString(16).padStart(32, "0") + run.toString(16).padStart(8, "0");

const extra = (id: string) => ({ id, kind: WorkloadKind.EXTRA, pid: 7 });

/** Its program runs and is heard, whatever was said of those beside it. */
async function assertUnharmed(vm: VmEntry): Promise<void> {
  const { guest } = bench.vmm;
  assert.deepEqual([vm.state, bench.vmm.alive], ["running", true]);
  const { nextSequence } = vm.log;
  guest.print("alive");
  await vm.log.stored(nextSequence + 5n, AbortSignal.timeout(60_000));
  await bench.engine.vms.signal(vm.id, "HUP");
  assert.equal(guest.calls.at(-1), "signal 1");
  const remarks = bench.world.logged.filter((line) => line.includes("level=error"));
  assert.deepEqual(remarks, [], "a guest's failure is none of kilnd's");
}

describe("an agent of somebody else's", () => {
  it("lists more than any agent keeps: few are taken in, however often it does", async () => {
    const old = await bench.vm();
    const own = await bench.start(old);
    const { lies } = bench.guest;
    let [lists, next] = [0, 0];
    lies.waitWorkload = ({ id }) => {
      if (id === own.agentId) return new Promise(() => undefined);
      return { exit: { code: 1 } };
    };
    // Thereby what it has is asked for once more in the next session.
    lies.forgetWorkload = () => {
      throw new ConnectError("no", Code.Internal);
    };
    const listed = deferred<void>();
    lies.listWorkloads = () => {
      if (++lists === 4) listed.resolve();
      else setImmediate(() => bench.vmm.guest.cut("its own doing"));
      const strange = Array.from({ length: 1000 }, () => extra(foreignId(next++)));
      const odd = ["", "main", "x".repeat(40), "../../../../etc", own.agentId.slice(1)].map(extra);
      const older = extra(`${own.id}00000000`);
      return { workloads: [extra(own.agentId), ...odd, older, older, ...strange] };
    };
    const vm = await bench.nextKilnd();
    await listed.promise;
    const kept = () => bench.engine.programs(vm, true).length;
    const found = bench.find(vm, own.id);
    assert.equal(found.state, "running");
    await assertUnharmed(vm);
    await bench.engine.vms.stop(vm.id);
    assert.ok(kept() <= 33 + 64, `${kept()} are kept`);
    assert.deepEqual((await readdir(bench.path(vm))).length, kept());
    assert.ok(bench.world.logged.filter((line) => line.includes("nothing is on record")).length <= 64);
  });

  it("names numbers and words that no program comes to", async () => {
    const vm = await bench.vm();
    const ends = [2 ** 31 - 1, -1, 256];
    for (const [index, code] of ends.entries()) {
      bench.guest.lies = {
        startWorkload: () => ({ pid: [-5, 2 ** 31 - 1, 0][index] ?? 0 }),
        waitWorkload: () => ({
          exit: { code, signal: 9999, error: index === 2 ? `\u001b[2J${"bad\n".repeat(300_000)}` : "" },
          nextSequence: 2n ** 63n,
        }),
        async *readWorkloadLogs() {
          // Has said nothing.
        },
      };
      bench.vmm.guest.cut("for the lies");
      if (index === 2) {
        const [outcome] = await bench.outputs(vm);
        assert.equal(outcome?.kind, "exit");
        assert.equal(outcome.code, 255);
        assert.match(outcome.error, /^bad bad /);
        assert.ok(outcome.error.length <= 4096);
      } else {
        const entry = await bench.start(vm);
        assert.deepEqual(await bench.end(vm, entry), [255, "program-exited"]);
        assert.equal(entry.status.pid, 0);
      }
    }
    await assertUnharmed(vm);
  });

  it("sends output that goes back, leaves out, is empty or too much: what is stored is in order, once", async () => {
    const vm = await bench.vm();
    const piece = (sequence: bigint, data: string | Buffer) => ({
      ...{ sequence, stream: Stream.STDOUT, timeUnixNs: -(2n ** 63n), data: Buffer.from(data) },
    });
    const bad = [
      piece(0n, "again"),
      piece(2n ** 63n, "far"),
      piece(8n, ""),
      piece(8n, Buffer.alloc(64 * 1024 + 1)),
    ];
    const heard = deferred<void>();
    let asked = 0;
    bench.guest.lies = {
      async *readWorkloadLogs({ fromSequence }) {
        if (fromSequence === 0n) yield piece(0n, "in order");
        const next = bad[asked++];
        if (next !== undefined) yield next;
        else heard.resolve();
      },
    };
    bench.vmm.guest.cut("for the lies");
    const entry = await bench.start(vm);
    await heard.promise;
    assert.equal(entry.state, "running");
    await assertUnharmed(vm);
    bench.program().exit(0);
    assert.deepEqual(await bench.end(vm, entry), [0, "program-exited"]);
    assert.equal(await bench.written(vm, entry), "in order");
  });

  it("fails all that it is asked: that is said seldom, and asked again seldom", async () => {
    const vm = await bench.vm();
    let starts = 0;
    const tried = deferred<void>();
    bench.guest.lies = {
      startWorkload: () => {
        if (++starts === 4) tried.resolve();
        throw new ConnectError(`\u001b[2J${"no\n".repeat(1000)}`, Code.Internal);
      },
    };
    bench.vmm.guest.cut("for the lies");
    // A caller who left would take it along.
    const start = bench.outputs(vm);
    await tried.promise;
    await assertUnharmed(vm);
    const remarks = bench.world.logged.filter((line) => line.includes("not seen to"));
    assert.equal(remarks.length, 1);
    assert.ok((remarks[0] ?? "").length < 1500);
    const [entry] = bench.engine.programs(vm, true);
    assert.equal(entry?.state, "starting");
    await bench.engine.vms.stop(vm.id);
    assert.deepEqual(await bench.end(vm, entry), [137, "vm-ended"]);
    await start;
  });

  it("answers nothing at all: the VM ends all the same, in order", async () => {
    const vm = await bench.vm();
    const entry = await bench.start(vm);
    const never = () => new Promise<never>(() => undefined);
    bench.guest.lies = {
      ...{ startWorkload: never, listWorkloads: never, waitWorkload: never, forgetWorkload: never },
      ...{ signalWorkload: never, ackWorkloadLogs: never },
    };
    bench.vmm.guest.cut("for the lies");
    const waiting = bench.outputs(vm);
    await until(vm.changed, () => (vm.live?.link.current === undefined ? undefined : true));
    await reaches(entry, "running");
    await assertUnharmed(vm);
    await bench.engine.vms.stop(vm.id);
    assert.deepEqual(await bench.end(vm, entry), [137, "vm-ended"]);
    assert.equal((await waiting)[0]?.kind, "started");
    assert.deepEqual(bench.engine.programs(vm, false), []);
  });
});
