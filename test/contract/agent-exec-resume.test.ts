// Execs with an id on the real agent: they outlive the session that asked for them, lose and repeat no byte, and end
// when nobody attends to them any more.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import type { AgentSession } from "../../src/agent/index.js";
import { type Deferred, deferred } from "../../src/base/runtime.js";
import {
  AgentBench,
  ENV,
  type ExecRequest,
  type ProcessSpec,
  run,
  runs,
  skipWithoutRoot,
  until,
} from "./agent-bench.js";

const stdin = (data: Uint8Array): ExecRequest => ({ message: { case: "stdin", value: data } });
const eof: ExecRequest = { message: { case: "stdinEof", value: true } };

let count = 0;
const newId = () => `an-id-nobody-guesses-${count++}`;

/** One attendance to an exec; what is asked is said by `say`. */
class Call {
  pid = 0;
  stdinNext = 0n;
  taken = 0n;
  next: bigint;
  output = "";
  code: number | undefined;
  readonly over: Promise<ConnectError | undefined>;
  readonly started: Deferred<void> = deferred();
  #queue: ExecRequest[] = [];
  #wake: Deferred<void> = deferred();
  #closed = false;

  constructor(session: AgentSession, first: ExecRequest, from = 0n) {
    this.next = from;
    this.say(first);
    this.over = this.#read(session).then(
      () => undefined,
      (error: unknown) => ConnectError.from(error),
    );
  }

  static start(session: AgentSession, id: string, args: string[], spec: ProcessSpec = {}): Call {
    return new Call(session, { message: { case: "start", value: { args, env: ENV, id, ...spec } } });
  }

  static resume(session: AgentSession, id: string, from: bigint): Call {
    return new Call(session, { message: { case: "resume", value: { id, nextSequence: from } } }, from);
  }

  say(...requests: ExecRequest[]): void {
    this.#queue.push(...requests);
    this.#wake.resolve();
  }

  /** Half-closes: the exit has arrived. */
  close(): void {
    this.#closed = true;
    this.#wake.resolve();
  }

  acknowledge(): void {
    this.say({ message: { case: "ack", value: this.next } });
  }

  async *#requests(): AsyncGenerator<ExecRequest> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) yield next;
      else if (this.#closed) return;
      else {
        await this.#wake.promise;
        this.#wake = deferred();
      }
    }
  }

  async #read(session: AgentSession): Promise<void> {
    for await (const { message } of session.client.exec(this.#requests())) {
      if (message.case === "started") {
        this.pid = message.value.pid;
        this.stdinNext = message.value.stdinNext;
        this.started.resolve();
      } else if (message.case === "stdinTaken") this.taken = message.value;
      else if (message.case === "exit") this.code = message.value.code;
      else if (message.case === "data") {
        assert.equal(message.value.sequence, this.next, "neither a gap nor a repeat");
        this.next += BigInt(message.value.data.length);
        this.output += Buffer.from(message.value.data).toString("latin1");
      }
    }
  }
}

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
    let call = Call.start(session, id, ["sh", "-c", script]);
    let seen = "";
    for (let cut = 1; cut <= 5; cut++) {
      const wanted = 3000 * cut;
      await until(() => call.output.length > wanted - seen.length || call.code !== undefined);
      await session.close();
      await call.over;
      seen += call.output;
      session = await bench.session();
      call = Call.resume(session, id, call.next);
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
    let call = Call.start(session, id, ["sh", "-c", script]);
    await call.started.promise;
    await session.close();
    await call.over;
    session = await bench.session();
    assert.ok(Number(await readFile(counter, "utf8").catch(() => "0")) < 32, "it was held back");
    const before = call.output.length;
    call = Call.resume(session, id, call.next);
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
    const call = Call.start(session, newId(), ["sh", "-c", "yes & yes >&2 & echo done; exit 4"]);
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
    let call = Call.start(session, id, ["sh", "-c", "head -c 1000; sleep 0.2; cat"], { stdin: true });
    call.say(stdin(bytes.subarray(0, 150_000)));
    await until(() => call.taken > 0n);
    await session.close();
    await call.over;
    let seen = call.output;
    session = await bench.session();
    call = Call.resume(session, id, call.next);
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
    let call = Call.start(session, id, ["sh", "-c", "stty -echo; echo up; read x; stty size; exit 4"], spec);
    await until(() => call.output.includes("up"));
    await session.close();
    await call.over;
    session = await bench.session();
    call = Call.resume(session, id, call.next);
    call.say({ message: { case: "resize", value: { columns: 132, rows: 43 } } }, stdin(Buffer.from("go\n")));
    await until(() => call.code !== undefined);
    assert.deepEqual([call.output, call.code], ["43 132\r\n", 4]);
    call.close();
    await session.close();
  });

  it("starts once, however often it is asked to", async () => {
    const id = newId();
    const session = await bench.session();
    const first = Call.start(session, id, ["sh", "-c", "echo one; sleep 300"]);
    await until(() => first.output !== "");
    const second = Call.start(session, id, ["sh", "-c", "echo two; sleep 300"]);
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
    let call = Call.start(session, id, ["sh", "-c", "echo bye; exit 5"]);
    await until(() => call.code !== undefined);
    await session.close();
    session = await bench.session();
    call = Call.resume(session, id, 0n);
    await until(() => call.code !== undefined);
    assert.deepEqual([call.output, call.code], ["bye\n", 5]);
    call.close();
    assert.equal(await call.over, undefined);
    const unknown = await Call.resume(session, id, 0n).over;
    assert.equal(unknown?.code, Code.NotFound);
    await session.close();
  });

  it("refuses an id that could be guessed, and a place that is not held", async () => {
    const session = await bench.session();
    assert.equal((await Call.start(session, "short", ["true"]).over)?.code, Code.InvalidArgument);
    const id = newId();
    const call = Call.start(session, id, ["sh", "-c", "echo some; sleep 300"]);
    await until(() => call.output !== "");
    assert.equal((await Call.resume(session, id, 99n).over)?.code, Code.OutOfRange);
    await session.client.endExec({ id });
    await until(() => !runs(call.pid));
    await session.close();
  });
});

describe("agent: an exec that nobody attends", { skip: skipWithoutRoot(), timeout: 120_000 }, () => {
  it("is ended after its time, with its group", async () => {
    await using bench = await AgentBench.open({ KILN_TEST_UNATTENDED_MS: "50" });
    let session = await bench.session();
    const id = newId();
    const call = Call.start(session, id, ["sh", "-c", "sleep 300 & echo $!; wait"]);
    await until(() => call.output !== "");
    await session.close();
    await until(() => !runs(Number(call.output)) && !runs(call.pid));
    session = await bench.session();
    assert.equal((await Call.resume(session, id, 0n).over)?.code, Code.NotFound);
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
    const call = Call.start(session, newId(), ["sleep", "300"]);
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
    const call = Call.start(first, id, ["sleep", "300"]);
    await call.started.promise;
    process.kill(call.pid, "SIGSTOP");
    await until(async () => (await state(call.pid)) === "T");
    call.say(signal(15));
    await until(async () => /^S[hi][dg]Pnd:.*[4-7c-f]...$/m.test(await status(call.pid)));
    await first.close();
    await call.over;
    const second = await bench.session();
    const error = await Call.resume(second, id, 0n).over;
    assert.equal(error?.code, Code.Aborted);
    assert.match(error.rawMessage, /does not get to run.* signal 15/);
    await until(() => !runs(call.pid));
    await second.close();
  });

  it("goes on where its program takes the signal and its time", async () => {
    await using bench = await AgentBench.open({ KILN_TEST_LOOK_MS: "20" });
    const session = await bench.session();
    const script = "trap 'n=$((n+1)); echo $n' TERM; echo on; while :; do sleep 0.05; done";
    const call = Call.start(session, newId(), ["sh", "-c", script]);
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
