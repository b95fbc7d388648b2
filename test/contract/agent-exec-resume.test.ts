// Execs with an id on the real agent: they outlive the session that asked for them, and lose and repeat no byte.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { AgentBench, type ExecRequest, runs, skipWithoutRoot, until } from "./agent-bench.js";
import { ExecCall, newId } from "./exec-call.js";

const stdin = (data: Uint8Array): ExecRequest => ({ message: { case: "stdin", value: data } });
const eof: ExecRequest = { message: { case: "stdinEof", value: true } };

describe("agent: exec with an id", { skip: skipWithoutRoot(), timeout: 240_000 }, () => {
  let bench: AgentBench;
  before(async () => {
    bench = await AgentBench.open();
  });
  after(() => bench[Symbol.asyncDispose]());

  it("gives every byte once over sessions that break, and the exit at the end", async () => {
    const id = newId();
    let session = await bench.session();
    const script = "i=0; while [ $i -lt 3000 ]; do echo line $i; echo e $i >&2; i=$((i+1)); done; exit 7";
    let call = ExecCall.start(session, id, ["sh", "-c", script]);
    let seen = "";
    for (let cut = 1; cut <= 5; cut++) {
      const wanted = 3000 * cut;
      await until(() => call.output.length > wanted - seen.length || call.code !== undefined);
      await session.close();
      await call.over;
      seen += call.output;
      session = await bench.session();
      call = ExecCall.resume(session, id, call.next);
    }
    await until(() => call.code !== undefined);
    call.close();
    assert.equal(await call.over, undefined);
    seen += call.output;
    const lines = seen.split("\n");
    const expected = Array.from({ length: 3000 }, (_, index) => index);
    assert.deepEqual(
      lines.filter((line) => line.startsWith("line")),
      expected.map((n) => `line ${n}`),
    );
    assert.deepEqual(
      lines.filter((line) => line.startsWith("e ")),
      expected.map((n) => `e ${n}`),
    );
    assert.equal(call.code, 7);
    await session.close();
  });

  it("makes a process wait while nobody is there, and loses nothing of what it wrote", async () => {
    const id = newId();
    const counter = join(bench.root, "counter");
    const script = `i=0; while [ $i -lt 64 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > ${counter}; done`;
    let session = await bench.session();
    let call = ExecCall.start(session, id, ["sh", "-c", script]);
    await call.started.promise;
    await session.close();
    await call.over;
    session = await bench.session();
    assert.ok(Number(await readFile(counter, "utf8").catch(() => "0")) < 32, "it was held back");
    const before = call.output.length;
    call = ExecCall.resume(session, id, call.next);
    await until(() => {
      call.acknowledge();
      return call.code !== undefined;
    });
    call.close();
    await call.over;
    assert.equal(before + call.output.length, 64 * 65_536);
    await session.close();
  });

  it("ends with its process, whatever that leaves behind goes on to write", async () => {
    const session = await bench.session();
    const call = ExecCall.start(session, newId(), ["sh", "-c", "yes & yes >&2 & echo done; exit 4"]);
    await until(() => {
      call.acknowledge();
      return call.code !== undefined;
    });
    call.close();
    assert.equal(await call.over, undefined);
    assert.equal(call.code, 4);
    assert.match(call.output, /^done$/m);
    await session.close();
  });

  it("takes each byte of stdin once, and its end", async () => {
    const id = newId();
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => 97 + (index % 26)));
    let session = await bench.session();
    let call = ExecCall.start(session, id, ["sh", "-c", "head -c 1000; sleep 0.2; cat"], { stdin: true });
    call.say(stdin(bytes.subarray(0, 150_000)));
    await until(() => call.taken > 0n);
    await session.close();
    await call.over;
    let seen = call.output;
    session = await bench.session();
    call = ExecCall.resume(session, id, call.next);
    await call.started.promise;
    const from = Number(call.stdinNext);
    assert.ok(from > 0 && from <= 150_000, `${from} were taken`);
    call.say(stdin(bytes.subarray(from)), eof);
    await until(() => {
      call.acknowledge();
      return call.code !== undefined;
    });
    assert.equal(call.taken, BigInt(bytes.length + 1));
    call.close();
    await call.over;
    seen += call.output;
    assert.ok(seen === bytes.toString("latin1"), "what came out is what went in");
    await session.close();
  });

  it("keeps a terminal, its size and its signals over sessions", async () => {
    const id = newId();
    let session = await bench.session();
    const spec = { tty: true, stdin: true, window: { columns: 80, rows: 24 } };
    let call = ExecCall.start(
      session,
      id,
      ["sh", "-c", "stty -echo; echo up; read x; stty size; exit 4"],
      spec,
    );
    await until(() => call.output.includes("up"));
    await session.close();
    await call.over;
    session = await bench.session();
    call = ExecCall.resume(session, id, call.next);
    call.say({ message: { case: "resize", value: { columns: 132, rows: 43 } } }, stdin(Buffer.from("go\n")));
    await until(() => call.code !== undefined);
    assert.deepEqual([call.output, call.code], ["43 132\r\n", 4]);
    call.close();
    await session.close();
  });

  it("starts once, however often it is asked to", async () => {
    const id = newId();
    const session = await bench.session();
    const first = ExecCall.start(session, id, ["sh", "-c", "echo one; sleep 300"]);
    await until(() => first.output !== "");
    const second = ExecCall.start(session, id, ["sh", "-c", "echo two; sleep 300"]);
    await until(() => second.output !== "");
    assert.equal(second.pid, first.pid);
    assert.equal(second.output, "one\n");
    assert.match((await first.over)?.rawMessage ?? "", /another call has taken the exec over/);
    await session.client.endExec({ id });
    await until(() => !runs(first.pid));
    await session.close();
  });

  it("keeps the exit until it is acknowledged, and then forgets it", async () => {
    const id = newId();
    let session = await bench.session();
    let call = ExecCall.start(session, id, ["sh", "-c", "echo bye; exit 5"]);
    await until(() => call.code !== undefined);
    await session.close();
    session = await bench.session();
    call = ExecCall.resume(session, id, 0n);
    await until(() => call.code !== undefined);
    assert.deepEqual([call.output, call.code], ["bye\n", 5]);
    call.close();
    assert.equal(await call.over, undefined);
    const unknown = await ExecCall.resume(session, id, 0n).over;
    assert.equal(unknown?.code, Code.NotFound);
    await session.close();
  });

  it("refuses an id that could be guessed, and a place that is not held", async () => {
    const session = await bench.session();
    assert.equal((await ExecCall.start(session, "short", ["true"]).over)?.code, Code.InvalidArgument);
    const id = newId();
    const call = ExecCall.start(session, id, ["sh", "-c", "echo some; sleep 300"]);
    await until(() => call.output !== "");
    assert.equal((await ExecCall.resume(session, id, 99n).over)?.code, Code.OutOfRange);
    await session.client.endExec({ id });
    await until(() => !runs(call.pid));
    await session.close();
  });
});
