// How execs with an id end on the real agent: when nobody attends to them any more, and by signals.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { AgentBench, type ExecRequest, run, runs, skipWithoutRoot, until } from "./agent-bench.js";
import { ExecCall, newId } from "./exec-call.js";

describe("agent: an exec that nobody attends", { skip: skipWithoutRoot(), timeout: 120_000 }, () => {
  it("is ended after its time, with its group", async () => {
    await using bench = await AgentBench.open({ KILN_TEST_UNATTENDED_MS: "50" });
    let session = await bench.session();
    const id = newId();
    const call = ExecCall.start(session, id, ["sh", "-c", "sleep 300 & echo $!; wait"]);
    let over: unknown = "it runs";
    void call.over.then((how) => {
      over = how;
    });
    await until(() => call.output !== "" || over !== "it runs");
    assert.equal(over, "it runs", `it was to write, and to be left: ${over}`);
    await session.close();
    await until(() => !runs(Number(call.output)) && !runs(call.pid));
    session = await bench.session();
    assert.equal((await ExecCall.resume(session, id, 0n).over)?.code, Code.NotFound);
  });

  it("is ended even between its fork and its program", async () => {
    await using bench = await AgentBench.open({ KILN_TEST_UNATTENDED_MS: "50" });
    const session = await bench.session();
    // No other process sleeps for so long.
    const length = String(400_000 + (bench.process.pid ?? 0) * 1000);
    for (let count = 0; count < 20; count++) {
      const id = newId();
      const gone = new AbortController();
      const call = assert.rejects(run(session, ["sleep", length], { spec: { id }, signal: gone.signal }));
      await new Promise((resolve) => setImmediate(resolve));
      const ended = session.client.endExec({ id });
      gone.abort();
      await ended;
      await call;
    }
    await session.close();
    await until(async () => !(await isAnywhere(`sleep\0${length}\0`)));
  });
});

describe("agent: an exec that was asked to end", { skip: skipWithoutRoot(), timeout: 120_000 }, () => {
  const signal = (number: number): ExecRequest => ({ message: { case: "signal", value: number } });
  const status = (pid: number) => readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const state = async (pid: number) => /^State:\s+(\S)/m.exec(await status(pid))?.[1];

  it("fails, and is killed, where its program does not get to run", async () => {
    await using bench = await AgentBench.open({ KILN_TEST_LOOK_MS: "1" });
    const session = await bench.session();
    const call = ExecCall.start(session, newId(), ["sleep", "300"]);
    await call.started.promise;
    // To a signal a stopped program is what a starved one is.
    process.kill(call.pid, "SIGSTOP");
    await until(async () => (await state(call.pid)) === "T");
    call.say(signal(15));
    const error = await call.over;
    assert.equal(error?.code, Code.Aborted);
    assert.match(error.rawMessage, /does not get to run.* signal 15/);
    await until(() => !runs(call.pid));
    await session.close();
  });

  it("fails so too where the session broke while it was looked at", async () => {
    await using bench = await AgentBench.open({ KILN_TEST_LOOK_MS: "500" });
    const id = newId();
    const first = await bench.session();
    const call = ExecCall.start(first, id, ["sleep", "300"]);
    await call.started.promise;
    process.kill(call.pid, "SIGSTOP");
    await until(async () => (await state(call.pid)) === "T");
    call.say(signal(15));
    await until(async () => /^S[hi][dg]Pnd:.*[4-7c-f]...$/m.test(await status(call.pid)));
    await first.close();
    await call.over;
    const second = await bench.session();
    const error = await ExecCall.resume(second, id, 0n).over;
    assert.equal(error?.code, Code.Aborted);
    assert.match(error.rawMessage, /does not get to run.* signal 15/);
    await until(() => !runs(call.pid));
    await second.close();
  });

  it("goes on where its program takes the signal and its time", async () => {
    await using bench = await AgentBench.open({ KILN_TEST_LOOK_MS: "20" });
    const session = await bench.session();
    const script = "trap 'n=$((n+1)); echo $n' TERM; echo on; while :; do sleep 0.05; done";
    const call = ExecCall.start(session, newId(), ["sh", "-c", script]);
    await until(() => call.output === "on\n");
    for (let count = 1; count <= 5; count++) {
      call.say(signal(15));
      await until(() => call.output.endsWith(`${count}\n`));
    }
    call.say(signal(9));
    await until(() => call.code !== undefined);
    assert.equal(call.code, 137);
    call.close();
    assert.equal(await call.over, undefined);
    await session.close();
  });
});

async function isAnywhere(commandLine: string): Promise<boolean> {
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const found = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (found === commandLine) return true;
  }
  return false;
}
