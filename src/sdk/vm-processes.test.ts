import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { hasReason } from "../base/errors.js";
import type { Exec } from "../gen/kiln/v1/process_pb.js";
import { Kiln } from "./kiln.js";
import type { Vm } from "./vm.js";

let kilnd: FakeKilnd;
let kiln: Kiln;
let vm: Vm;

beforeEach(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  kiln = await Kiln.connect({ host: kilnd.host });
  vm = kiln.vms.ref("web");
});
afterEach(async () => {
  await kiln.close();
  await kilnd.close();
});

const failsWith = (reason: string) => (error: unknown) => hasReason(error, reason);

function kept(): Exec {
  const exec = kilnd.kept.all.at(-1);
  assert.ok(exec !== undefined);
  return exec;
}

/** When kilnd has been asked this so often. */
async function asked(call: string, times: number): Promise<void> {
  while (kilnd.calls.filter((each) => each.startsWith(call)).length < times) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("vm.processes", () => {
  it("starts a program as it was asked to, and says what it is", async () => {
    const options = { env: { A: "b" }, user: "node", workdir: "/srv", restart: "always" } as const;
    const { id, info } = await vm.processes.start(["job", "-v"], options);
    const { args, env, user, workdir, restart, detach, keep } = kilnd.execs[0]?.config ?? {};
    assert.deepEqual([args, env, user, workdir], [["job", "-v"], ["A=b"], "node", "/srv"]);
    assert.deepEqual([restart?.name, detach, keep], ["always", true, true]);
    assert.match(id, /^[0-9a-f]{32}$/);
    assert.deepEqual(info.config.args, ["job", "-v"]);
    assert.deepEqual(info.config.restart, { name: "always", maximumRetryCount: 0 });
    assert.deepEqual(
      [info.status.state, info.status.pid, info.status.finishedAt],
      ["running", 42, undefined],
    );
    await vm.processes.start("cd /srv && make", { restart: { name: "on-failure", maximumRetryCount: 3 } });
    assert.deepEqual(kept().config?.args, ["/bin/sh", "-c", "cd /srv && make"]);
    assert.equal(kept().config?.restart?.maximumRetryCount, 3);
  });

  it("finds them again by a prefix, and lists those that run or all", async () => {
    const first = await vm.processes.start(["one"]);
    const second = await vm.processes.start(["two"]);
    const found = await vm.processes.get(second.id.slice(0, 4));
    assert.deepEqual([found.id, found.info.config.args], [second.id, ["two"]]);
    await assert.rejects(vm.processes.get("a"), failsWith("ambiguous-id"));
    await assert.rejects(vm.processes.get("ff"), failsWith("exec-not-found"));
    kilnd.kept.end(kept(), 3);
    const ids = async (all: boolean) => (await vm.processes.list({ all })).map(({ id }) => id);
    assert.deepEqual(await ids(false), [first.id]);
    assert.deepEqual(await ids(true), [first.id, second.id]);
  });

  it("passes signals and removals on, and knows the end", async () => {
    const job = await vm.processes.start(["job"]);
    await job.kill("USR1");
    await assert.rejects(job.remove(), failsWith("exec-running"));
    const ended = job.wait();
    await asked("WaitExec", 1);
    kilnd.kept.end(kept(), 7);
    const { exitCode, status } = await ended;
    assert.deepEqual([exitCode, status.state, status.reason], [7, "exited", "program-exited"]);
    assert.equal(job.info.status.exitCode, 7);
    await assert.rejects(job.kill(), failsWith("exec-ended"));
    await job.remove();
    await assert.rejects(job.inspect(), failsWith("exec-not-found"));
    assert.deepEqual(
      kilnd.calls.filter((call) => !call.startsWith("GetExec")),
      [
        `SignalExec USR1 ${job.id} web`,
        `RemoveExec ${job.id} web`,
        `WaitExec ${job.id} web`,
        `SignalExec SIGKILL ${job.id} web`,
        `RemoveExec ${job.id} web`,
      ],
    );
  });

  it("reads and waits on over a kilnd that goes away, without a gap or a repeat", async () => {
    const job = await vm.processes.start(["job"]);
    let text = "";
    const read = (async () => {
      for await (const { data } of job.logs({ follow: true })) text += Buffer.from(data).toString();
    })();
    const ended = job.wait();
    kilnd.kept.print(kept(), "one ");
    await asked("WaitExec", 1);
    while (text !== "one ") await new Promise((resolve) => setImmediate(resolve));
    kilnd.cutConnections();
    kilnd.kept.print(kept(), "two");
    await asked("WaitExec", 2);
    kilnd.kept.end(kept(), 5);
    assert.equal((await ended).exitCode, 5);
    await read;
    assert.equal(text, "one two");
  });

  it("starts nothing that could not be found again", async () => {
    kilnd.kept.keeps = "nothing";
    await assert.rejects(vm.processes.start(["job"]), failsWith("agent-too-old"));
    kilnd.kept.keeps = "unasked";
    await assert.rejects(vm.processes.start(["job"]), failsWith("exec-not-kept"));
    assert.equal(await vm.spawn(["job"]), 42);
    await assert.rejects(vm.processes.start(["nothing-like-this"]), failsWith("program-not-started"));
  });

  for (const why of ["start job: not found in PATH", "not found in PATH"]) {
    it(`says once what could not be started, where kilnd says "${why}"`, async () => {
      kilnd.execScripts.push(async function* () {
        yield { message: { case: "exit", value: { code: 127, error: why } } };
      });
      await assert.rejects(vm.processes.start(["job"]), { message: "start job: not found in PATH" });
    });
  }
});
