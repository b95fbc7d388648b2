// How `kiln exec` goes on after its connection broke, by its native front end and by the TypeScript CLI: what each of
// its calls asks for, at moments that a real kilnd cannot be killed at. test/e2e/outlive has the real one.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { after, afterEach, before, describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { type Deferred, deferred } from "../../src/base/runtime.js";
import type { ExecRequest } from "../../src/gen/kiln/v1/process_pb.js";
import { eventually, FRONT, TYPESCRIPT } from "../e2e/harness.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";
import type { ExecAnswer, ExecScript } from "../fixtures/fake-programs.js";
import { refusal } from "../fixtures/kilnd-refusal.js";

let kilnd: FakeKilnd;
before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
});
afterEach(() => {
  kilnd.execScripts.length = 0;
  kilnd.execs.length = 0;
});
after(() => kilnd.close());

/** One call of Exec: what was asked, as it came. */
class Call {
  readonly asked: ExecRequest["message"][] = [];
  stdin = "";
  #wake: Deferred<void> = deferred();

  /** Listens; the client's end ends it. */
  hear(requests: AsyncIterable<ExecRequest>): void {
    this.#listen(requests).catch(() => undefined);
  }

  async #listen(requests: AsyncIterable<ExecRequest>): Promise<void> {
    for await (const { message } of requests) {
      this.asked.push(message);
      if (message.case === "stdin") this.stdin += Buffer.from(message.value).toString("latin1");
      this.#wake.resolve();
      this.#wake = deferred();
    }
  }

  /** Waits until what was asked is enough. */
  async until(enough: (call: Call) => boolean): Promise<void> {
    while (!enough(this)) await this.#wake.promise;
  }

  get eof(): boolean {
    return this.asked.some((message) => message.case === "stdinEof");
  }

  /** The messages of one kind, in order. */
  all<K extends ExecRequest["message"]["case"]>(kind: K) {
    return this.asked.filter(
      (message): message is ExecRequest["message"] & { case: K } => message.case === kind,
    );
  }
}

/** What the next Exec answers. */
function answer(body: (call: Call) => AsyncGenerator<ExecAnswer>): Call {
  const call = new Call();
  const script: ExecScript = async function* (requests) {
    call.hear(requests);
    await call.until(({ asked }) => asked.length > 0);
    yield* body(call);
  };
  kilnd.execScripts.push(script);
  return call;
}

const started = (stdinNext = 0n): ExecAnswer => ({
  message: { case: "started", value: { pid: 42, resumable: true, stdinNext } },
});
const output = (text: string, next: bigint): ExecAnswer => ({
  message: { case: "output", value: { stream: 1, data: Buffer.from(text), next: { sequence: next } } },
});
const exit = (code: number): ExecAnswer => ({ message: { case: "exit", value: { code } } });
const stalled = (reason: string, message: string): ExecAnswer => ({
  message: { case: "stalled", value: { reason, message } },
});
async function* silence(): AsyncGenerator<ExecAnswer> {
  await new Promise(() => undefined);
  yield started();
}
async function* unknown(message: string): AsyncGenerator<ExecAnswer> {
  if (message !== "") throw refusal(Code.NotFound, message, "exec-not-found", "look");
  yield started();
}
/** As a kilnd that is killed. */
function cut(): AsyncGenerator<ExecAnswer> {
  kilnd.cutConnections();
  return silence();
}

for (const [name, command] of [
  ["the front end", FRONT],
  ["the TypeScript CLI", TYPESCRIPT],
] as const) {
  const env = () => ({ ...process.env, NO_COLOR: "1", KILN_HOST: kilnd.host, KILN_NODE: process.execPath });
  const start = (...args: string[]) => {
    const [program = "", ...words] = [...command, ...args];
    const child = spawn(program, words, { env: env(), stdio: ["pipe", "pipe", "pipe"] });
    return { child, ended: endOf(child) };
  };

  describe(`kiln exec by ${name}, when its connection breaks`, () => {
    it("asks for the same program, output and stdin from where they were lost", async () => {
      const first = answer(async function* (call) {
        yield started();
        await call.until(({ stdin }) => stdin.length >= 5);
        yield { message: { case: "stdinTaken", value: 2n } };
        yield output("one ", 4n);
        yield* silence();
      });
      const second = answer(async function* () {
        yield started(3n);
        await second.until(({ eof }) => eof);
        yield output("two", 7n);
        yield exit(9);
      });
      const { child, ended } = start("exec", "-i", "web", "x");
      child.stdin?.write("abcde");
      await once(child.stdout ?? child, "data");
      kilnd.cutConnections();
      await eventually("it is asked for again", async () => second.asked.length > 0 || undefined);
      child.stdin?.end("fg");
      assert.deepEqual(await ended, [9, "one two", ""]);
      const [begin] = first.all("start");
      const [again] = second.all("resume");
      assert.match(begin?.value.id ?? "", /^[0-9a-f]{32}$/);
      assert.deepEqual([again?.value.id, again?.value.nextSequence], [begin?.value.id, 4n]);
      assert.equal(second.stdin, "defg");
      assert.equal(second.all("start").length, 0);
    });

    it("starts it where it was never heard of, under the same id, and with all of stdin", async () => {
      const first = answer(async function* (call) {
        await call.until(({ eof }) => eof);
        yield* cut();
      });
      const second = answer(() => unknown("it is not known there"));
      const third = answer(async function* (call) {
        yield started();
        await call.until(({ eof }) => eof);
        yield exit(0);
      });
      const { child, ended } = start("exec", "-i", "web", "x");
      child.stdin?.end("abc");
      assert.deepEqual(await ended, [0, "", ""]);
      assert.deepEqual([second.asked[0]?.case, third.asked[0]?.case], ["resume", "start"]);
      assert.equal(third.all("start")[0]?.value.id, first.all("start")[0]?.value.id);
      assert.equal(third.stdin, "abc");
    });

    it("goes on by what it has, where its start was not heard but done", async () => {
      answer(() => cut());
      const second = answer(async function* () {
        yield started();
        yield output("done once", 9n);
        yield exit(0);
      });
      assert.deepEqual(await start("exec", "web", "x").ended, [0, "done once", ""]);
      assert.deepEqual(
        second.asked.map((message) => message.case),
        ["resume"],
      );
    });

    it("acknowledges output that has arrived", async () => {
      const call = answer(async function* () {
        yield started();
        for (let n = 1n; n <= 4n; n++) yield output("x".repeat(65_536), n * 65_536n);
        await call.until(({ asked }) => asked.some((message) => message.case === "ack"));
        yield exit(0);
      });
      const [code, stdout] = await start("exec", "web", "x").ended;
      assert.deepEqual([code, stdout.length], [0, 262_144]);
    });

    it("waits for credit before it sends more stdin, and signals do not wait behind it", async () => {
      const call = answer(async function* () {
        yield started();
        await call.until(({ stdin }) => stdin.length >= 512 * 1024);
        yield output("full", 4n);
        await call.until(({ asked }) => asked.some((message) => message.case === "signal"));
        const sent = call.stdin.length;
        for (let taken = 0; !call.eof; ) {
          await call.until(({ stdin, eof }) => eof || stdin.length > taken);
          taken = call.stdin.length;
          yield { message: { case: "stdinTaken", value: BigInt(taken) } };
        }
        yield exit(sent < 640 * 1024 ? 0 : 1);
      });
      const { child, ended } = start("exec", "-i", "web", "x");
      child.stdin?.end("y".repeat(2_000_000));
      await once(child.stdout ?? child, "data");
      child.kill("SIGUSR1");
      assert.deepEqual((await ended)[0], 0);
      assert.equal(call.stdin.length, 2_000_000);
    });

    it("fails with what is said where it cannot be gone on with", async () => {
      answer(async function* () {
        yield started();
        yield output("up", 2n);
        yield* silence();
      });
      answer(() => unknown("it is not known there any more"));
      const { child, ended } = start("exec", "web", "x");
      await once(child.stdout ?? child, "data");
      kilnd.cutConnections();
      const [code, , stderr] = await ended;
      assert.deepEqual([code, stderr], [125, "kiln: it is not known there any more\nhint: look\n"]);
    });

    it("is refused at once where kilnd answers that the guest is silent: that is no outage of kilnd", async () => {
      const silent = (reason: string) =>
        async function* (): AsyncGenerator<ExecAnswer> {
          if (reason !== "")
            throw refusal(Code.Unavailable, `VM web does not answer (${reason})`, reason, "look");
          yield started();
        };
      for (const reason of ["agent-unreachable", "guest-unavailable"]) {
        answer(silent(reason));
        const never = answer(silent(reason));
        const [code, , stderr] = await start("exec", "web", "x").ended;
        assert.deepEqual([code, stderr], [125, `kiln: VM web does not answer (${reason})\nhint: look\n`]);
        assert.equal(never.asked.length, 0, "it is not asked again");
        kilnd.execScripts.length = 0;
      }
    });

    it("goes on where the guest is silent for a moment after its connection was cut", async () => {
      answer(async function* () {
        yield started();
        yield output("one ", 4n);
        yield* silence();
      });
      answer(async function* () {
        if (kilnd.execScripts.length > 0) throw refusal(Code.Unavailable, "not yet", "agent-unreachable");
        yield started();
      });
      answer(async function* () {
        yield started();
        yield output("two", 7n);
        yield exit(3);
      });
      const { child, ended } = start("exec", "web", "x");
      await once(child.stdout ?? child, "data");
      kilnd.cutConnections();
      assert.deepEqual(await ended, [3, "one two", ""]);
    });

    it("says why its VM stands still, and ends at a signal then", async () => {
      const first = answer(async function* () {
        yield started();
        yield stalled("host-disk-full", "the host's disk is full; VM web waits");
        yield* silence();
      });
      const { child, ended } = start("exec", "web", "x");
      const [line] = (await once(child.stderr ?? child, "data")) as [Buffer];
      assert.equal(String(line), "kiln: the host's disk is full; VM web waits\n");
      child.kill("SIGTERM");
      assert.equal((await ended)[0], 143);
      assert.equal(first.all("signal").length, 0);
    });

    it("ends by a signal that was cut off with its connection a moment ago", async () => {
      const first = answer(async function* (call) {
        yield started();
        yield output("one", 3n);
        await call.until(({ asked }) => asked.some(({ case: kind }) => kind === "signal"));
        yield* cut();
      });
      const never = answer(silence);
      const { child, ended } = start("exec", "web", "x");
      await once(child.stdout ?? child, "data");
      child.kill("SIGTERM");
      assert.deepEqual(await ended, [143, "one", ""]);
      assert.equal(first.all("signal").length, 1);
      assert.equal(never.asked.length, 0, "it is not gone on with");
    });

    it("passes on that the guest was silent after a signal, and ends", async () => {
      answer(async function* (call) {
        yield started();
        yield output("one", 3n);
        await call.until(({ asked }) => asked.some(({ case: kind }) => kind === "signal"));
        throw refusal(Code.DeadlineExceeded, "its guest gave no sign of life", "agent-silent", "look");
      });
      const { child, ended } = start("exec", "web", "x");
      await once(child.stdout ?? child, "data");
      child.kill("SIGTERM");
      assert.deepEqual(await ended, [125, "one", "kiln: its guest gave no sign of life\nhint: look\n"]);
    });

    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
    ] as const) {
      it(`ends at once at ${signal} before it has started`, async () => {
        const call = answer(async function* () {
          yield* silence();
          yield started();
        });
        const { child, ended } = start("exec", "web", "x");
        await eventually("it is asked for", async () => call.asked.length > 0 || undefined);
        child.kill(signal);
        assert.equal((await ended)[0], code);
        assert.equal(call.all("signal").length, 0);
      });
    }
  });

  it(`kiln exec -d by ${name} is asked for once, whatever breaks`, async () => {
    const first = answer(() => cut());
    const [code, , stderr] = await start("exec", "-d", "web", "x").ended;
    assert.equal(code, 125);
    assert.match(stderr, /^kiln: the connection to kilnd was lost/);
    assert.equal(first.all("start")[0]?.value.config?.detach, true);
    assert.equal(kilnd.execs.length, 0, "no other call was made");
  });
}

/** Exit code, stdout, stderr. */
async function endOf(child: ChildProcess): Promise<[number | null, string, string]> {
  const texts = ["", ""];
  child.stdout?.on("data", (chunk: Buffer) => {
    texts[0] += chunk.toString("latin1");
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    texts[1] += chunk.toString("latin1");
  });
  const [code] = (await once(child, "close")) as [number | null];
  return [code, texts[0] ?? "", texts[1] ?? ""];
}
