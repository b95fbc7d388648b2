// Programs beside the main one on the real agent: started once for each id, heard from by nobody or by many sessions in
// turn, and known until they are forgotten. The cgroups are a guest's only.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type GuestProcess, pumpLogs } from "../../src/agent/index.js";
import { Code, KilnError } from "../../src/base/errors.js";
import type { WireSession } from "../fixtures/agent-wire.js";
import { AgentBench, ENV, runs, skipWithoutRoot, until } from "./agent-bench.js";

const newId = () => randomBytes(32).toString("hex");

const refused = (code: Code) => (error: unknown) => error instanceof KilnError && error.code === code;

async function start(session: WireSession, id: string, script: string, spec: Partial<GuestProcess> = {}) {
  return session.workloads.start({ id, process: { args: ["sh", "-c", script], env: ENV, ...spec } });
}

/** All output from a place on, to the end of the program, acknowledged. */
async function outputOf(session: WireSession, id: string, from = 0n): Promise<string> {
  const all: Buffer[] = [];
  await pumpLogs(session.workloads.get(id), from, async (chunks) => {
    for (const { data } of chunks) all.push(Buffer.from(data));
  });
  return Buffer.concat(all).toString();
}

async function summary(session: WireSession, id: string) {
  return (await session.workloads.list()).find((workload) => workload.id === id);
}

describe("agent: programs by id", { skip: skipWithoutRoot(), timeout: 240_000 }, () => {
  let bench: AgentBench;
  let session: WireSession;
  before(async () => {
    bench = await AgentBench.open();
    session = await bench.session();
  });
  after(() => bench[Symbol.asyncDispose]());

  it("says what it can", async () => {
    const words = ["hold", "exec-resume", "input", "workloads", "disk-serial", "mounts", "names"] as const;
    const lacking = [];
    for (const word of words) if (!(await session.features.has(word))) lacking.push(word);
    assert.deepEqual(lacking, []);
  });

  it("starts one id once, and keeps its output and its end over sessions", async () => {
    const id = newId();
    const marks = join(bench.root, "marks");
    const script = `echo mark >> ${marks}; echo out; echo err >&2; exit 7`;
    const pid = await start(session, id, script);
    assert.ok(pid > 0);
    await session.close();
    session = await bench.session();
    assert.equal(await start(session, id, script), pid);
    assert.equal((await session.workloads.get(id).wait())?.code, 7);
    assert.equal(await readFile(marks, "utf8"), "mark\n");
    assert.deepEqual((await outputOf(session, id)).split("\n").sort(), ["", "err", "out"]);
    const known = await summary(session, id);
    assert.deepEqual(
      [known?.kind, known?.pid, known?.exit?.code, known?.nextSequence],
      ["extra", pid, 7, 8n],
    );
    await session.workloads.forget(id);
    assert.equal(await summary(session, id), undefined);
    await assert.rejects(session.workloads.get(id).wait(), refused(Code.NotFound));
  });

  it("holds a program back that nobody hears, tells its end all the same, and loses nothing", async () => {
    const id = newId();
    const counter = join(bench.root, "counter");
    const script = `i=0; while [ $i -lt 64 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > ${counter}; done`;
    await start(session, id, script);
    await until(async () => ((await summary(session, id))?.nextSequence ?? 0n) >= 512n * 1024n);
    assert.ok(Number(await readFile(counter, "utf8")) < 32, "it was held back");
    const zeros = await outputOf(session, id);
    assert.equal(zeros.length, 64 * 65_536);
    await session.workloads.forget(id);
    // What is left at its end waits for no reader.
    const short = newId();
    await start(session, short, "head -c 300000 /dev/zero; exit 3");
    assert.equal((await session.workloads.get(short).wait())?.code, 3);
    assert.equal((await outputOf(session, short, 100_000n)).length, 200_000);
    await session.workloads.forget(short);
  });

  it("says why a program could not be started, until that is forgotten", async () => {
    const id = newId();
    const pid = await session.workloads.start({ id, process: { args: ["/no/such/program"], env: ENV } });
    assert.equal(pid, 0);
    const exit = await session.workloads.get(id).wait();
    assert.equal(exit?.code, 127);
    assert.match(exit?.error ?? "", /no\/such\/program/);
    await assert.rejects(session.workloads.get(id).signal(15), refused(Code.FailedPrecondition));
    await session.workloads.forget(id);
  });

  it("takes signals for its group, a stop with its patience, and kills what is forgotten", async () => {
    const trapping = newId();
    await start(session, trapping, "trap 'echo heard; exit 5' USR1; echo ready; while :; do sleep 1; done");
    await until(async () => ((await summary(session, trapping))?.nextSequence ?? 0n) > 0n);
    await session.workloads.get(trapping).signal(10);
    assert.equal((await session.workloads.get(trapping).wait())?.code, 5);
    // Its sleep has heard it too, and the shell may say so.
    assert.match(await outputOf(session, trapping), /^ready\n(.*\n)?heard\n$/);
    const deaf = newId();
    await start(session, deaf, "trap '' TERM; echo ready; while :; do sleep 1; done");
    await until(async () => ((await summary(session, deaf))?.nextSequence ?? 0n) > 0n);
    await session.workloads.get(deaf).stop(15, 50);
    assert.equal((await session.workloads.get(deaf).wait())?.signal, 9);
    const unwanted = newId();
    const pid = await start(session, unwanted, "sleep 1000");
    await session.workloads.forget(unwanted);
    await until(() => !runs(pid));
    for (const id of [trapping, deaf]) await session.workloads.forget(id);
  });

  it("takes stdin by a writer with a name, and its end", async () => {
    const id = newId();
    await start(session, id, "cat", { stdin: true });
    async function* pieces() {
      yield { data: Buffer.from("hello"), eof: false };
      yield { data: Buffer.from(" world"), eof: true };
    }
    let taken = 0n;
    for await (const answer of session.workloads.get(id).input("one", pieces())) taken = answer.taken;
    assert.equal(taken, 12n);
    assert.equal(await outputOf(session, id), "hello world");
    await session.workloads.forget(id);
  });

  it("leaves what a program has put into the background alone, also when that goes on writing", async () => {
    const id = newId();
    await start(session, id, "(while :; do echo beat || exit; sleep 0.01; done) & echo pid $!; exit 0");
    assert.equal((await session.workloads.get(id).wait())?.code, 0);
    const pid = Number(/pid (\d+)/.exec(await outputOf(session, id))?.[1]);
    const ticks = () =>
      readFile(`/proc/${pid}/io`, "utf8").then((io) => Number(/wchar: (\d+)/.exec(io)?.[1]));
    const then = await ticks();
    await session.workloads.forget(id);
    await until(async () => (await ticks()) > then + 500);
    process.kill(pid, "SIGKILL");
  });
});
