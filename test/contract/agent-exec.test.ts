// Exec on the real agent: what a program gets, what its caller gets, and who dies with whom.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { deferred } from "../../src/base/runtime.js";
import type { WireSession } from "../fixtures/agent-wire.js";
import { AgentBench, type ExecRequest, run, runs, skipWithoutRoot, until } from "./agent-bench.js";

const stdin = (text: string | Uint8Array): ExecRequest => ({
  message: { case: "stdin", value: typeof text === "string" ? Buffer.from(text) : text },
});
const eof: ExecRequest = { message: { case: "stdinEof", value: true } };

describe("agent: exec", { skip: skipWithoutRoot(), timeout: 240_000 }, () => {
  let bench: AgentBench;
  let session: WireSession;
  before(async () => {
    bench = await AgentBench.open();
    session = await bench.session();
  });
  after(() => bench[Symbol.asyncDispose]());

  it("keeps stdout, stderr and the exit code apart", async () => {
    const outcome = await run(session, ["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert.equal(outcome.stdout, "out\n");
    assert.equal(outcome.stderr, "err\n");
    assert.equal(outcome.exit?.code, 3);
    assert.ok((outcome.pid ?? 0) > 1);
  });

  it("reports a signal as 128 and its number", async () => {
    const { exit } = await run(session, ["sh", "-c", "kill -TERM $$"]);
    assert.deepEqual([exit?.code, exit?.signal], [143, 15]);
  });

  it("says 127 where there is no such program", async () => {
    for (const name of ["no-such-program", "/no/such/program"]) {
      const { exit, pid } = await run(session, [name]);
      assert.equal(exit?.code, 127);
      assert.match(exit?.error ?? "", new RegExp(`start ${name}: not found`));
      assert.equal(pid, undefined);
    }
  });

  it("says 126 where the program cannot run", async () => {
    const plain = join(bench.root, "plain");
    await writeFile(plain, "#!/bin/sh\n", { mode: 0o644 });
    const garbage = join(bench.root, "garbage");
    await writeFile(garbage, "\x7fnot a program", { mode: 0o755 });
    for (const path of [plain, garbage, bench.root]) {
      const { exit } = await run(session, [path]);
      assert.equal(exit?.code, 126, path);
      assert.ok(exit?.error.includes(path), exit?.error);
    }
  });

  it("tells a missing interpreter from a missing program", async () => {
    const script = join(bench.root, "script");
    await writeFile(script, "#!/no/such/interpreter\n", { mode: 0o755 });
    const { exit } = await run(session, [script]);
    assert.equal(exit?.code, 127);
    assert.match(exit?.error ?? "", /interpreter/);
  });

  it("refuses a user that the root does not know", async () => {
    const { exit } = await run(session, ["true"], { spec: { user: "no-such-user" } });
    assert.equal(exit?.code, 126);
    assert.match(exit?.error ?? "", /no user "no-such-user"/);
  });

  it("gives the environment that was asked for, and HOME", async () => {
    const { stdout } = await run(session, ["env"], { spec: { env: ["PATH=/usr/bin:/bin", "A=b c"] } });
    const lines = stdout.trim().split("\n").sort();
    assert.equal(lines.length, 3);
    assert.deepEqual([lines[0], lines[2]], ["A=b c", "PATH=/usr/bin:/bin"]);
    assert.match(lines[1] ?? "", /^HOME=\//);
  });

  it("refuses a working directory that is missing, and makes none", async () => {
    const workdir = join(bench.root, "made/for/it");
    const { exit, stdout } = await run(session, ["pwd"], { spec: { workdir } });
    assert.deepEqual([exit?.code, stdout], [126, ""]);
    assert.match(exit?.error ?? "", /enter the working directory: No such file/);
    await assert.rejects(stat(join(bench.root, "made")), { code: "ENOENT" });
  });

  it("runs every process in a session and a group of its own", async () => {
    const { stdout, pid } = await run(session, ["sh", "-c", "ps -o pgid=,sid= -p $$"]);
    assert.deepEqual(stdout.trim().split(/\s+/), [String(pid), String(pid)]);
  });

  it("sets limits", async () => {
    const spec = { rlimits: [{ name: "nofile", soft: 77n, hard: 88n }] };
    const { stdout } = await run(session, ["sh", "-c", "ulimit -Sn; ulimit -Hn"], { spec });
    assert.equal(stdout, "77\n88\n");
  });

  it("has no stdin unless asked", async () => {
    assert.equal((await run(session, ["cat"])).stdout, "");
  });

  it("carries stdin to its end", async () => {
    const { stdout } = await run(session, ["cat"], {
      spec: { stdin: true },
      input: [stdin("one "), stdin("two"), eof],
    });
    assert.equal(stdout, "one two");
  });

  it("outlives a process that reads none of its stdin", async () => {
    const input = Array.from({ length: 100 }, () => stdin(new Uint8Array(64 * 1024)));
    const { exit } = await run(session, ["true"], { spec: { stdin: true }, input });
    assert.equal(exit?.code, 0);
  });

  it("carries 32 MiB through a program unchanged", async () => {
    const piece = Buffer.alloc(64 * 1024);
    const sent = createHash("sha256");
    function* input(): Generator<ExecRequest> {
      for (let count = 0; count < 512; count++) {
        piece.fill(count);
        sent.update(piece);
        yield stdin(Uint8Array.from(piece));
      }
      yield eof;
    }
    const { stdout } = await run(session, ["sh", "-c", "cat | sha256sum"], {
      spec: { stdin: true },
      input: input(),
    });
    assert.equal(stdout.split(" ")[0], sent.digest("hex"));
  });

  it("makes a program wait for a slow reader", async () => {
    const counter = join(bench.root, "counter");
    const script = `i=0; while [ $i -lt 400 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > ${counter}; done`;
    const call = session.client.exec(
      (async function* (): AsyncGenerator<ExecRequest> {
        yield {
          message: { case: "start", value: { args: ["sh", "-c", script], env: ["PATH=/usr/bin:/bin"] } },
        };
      })(),
    );
    const reader = call[Symbol.asyncIterator]();
    await reader.next();
    // Stalled, not ended: two looks with a full exec between them see the same count.
    let seen = "";
    await until(async () => {
      const before = seen;
      seen = (await run(session, ["cat", counter])).stdout;
      await run(session, ["sleep", "0.1"]);
      return seen !== "" && seen === before;
    });
    assert.ok(Number(seen) < 200, `${seen.trim()} pieces were written to nobody`);
    let bytes = 0;
    for (let next = await reader.next(); next.done !== true; next = await reader.next()) {
      if (next.value.message.case === "data") bytes += next.value.message.value.data.length;
    }
    assert.equal(bytes, 400 * 65_536);
  });

  it("answers other calls while a process floods a reader that waits", async () => {
    const abort = new AbortController();
    const flood = session.client
      .exec(
        (async function* (): AsyncGenerator<ExecRequest> {
          yield { message: { case: "start", value: { args: ["cat", "/dev/zero"], env: ["PATH=/bin"] } } };
        })(),
        { signal: abort.signal },
      )
      [Symbol.asyncIterator]();
    await flood.next();
    assert.equal((await run(session, ["echo", "still here"])).stdout, "still here\n");
    abort.abort();
    await assert.rejects(async () => {
      while ((await flood.next()).done !== true);
    });
  });

  it("gives a terminal with its size, and tells of a new one", async () => {
    const sized = deferred<void>();
    const script = "trap 'stty size; exit 5' WINCH; stty size; while :; do sleep 0.05; done";
    async function* input(): AsyncGenerator<ExecRequest> {
      await sized.promise;
      yield { message: { case: "resize", value: { columns: 132, rows: 43 } } };
    }
    const { stdout, exit } = await run(session, ["sh", "-c", script], {
      spec: { tty: true, stdin: true, window: { columns: 100, rows: 30 } },
      input: input(),
      onOutput: () => sized.resolve(),
    });
    assert.equal(stdout, "30 100\r\n43 132\r\n");
    assert.equal(exit?.code, 5);
  });

  it("makes the terminal the controlling one, with TERM", async () => {
    const { stdout } = await run(session, ["sh", "-c", "tty; echo $TERM; : > /dev/tty && echo ours"], {
      spec: { tty: true },
    });
    assert.match(stdout, /^\/dev\/pts\/\d+\r\nxterm\r\nours\r\n$/);
  });

  it("types end-of-file on a terminal", async () => {
    const { stdout, exit } = await run(session, ["cat"], {
      spec: { tty: true, stdin: true },
      input: [stdin("line\n"), eof],
    });
    assert.equal(stdout, "line\r\nline\r\n");
    assert.equal(exit?.code, 0);
  });

  it("sends signals to the whole group", async () => {
    const ready = deferred<void>();
    async function* input(): AsyncGenerator<ExecRequest> {
      await ready.promise;
      yield { message: { case: "signal", value: 10 } };
    }
    const script =
      "trap 'wait $!; echo parent; exit 7' USR1; (trap 'echo child; exit' USR1; echo up; while :; do sleep 0.05; done) & while :; do sleep 0.05; done";
    const { stdout, exit } = await run(session, ["sh", "-c", script], {
      input: input(),
      onOutput: () => ready.resolve(),
    });
    assert.equal(exit?.code, 7);
    assert.deepEqual(stdout.trim().split("\n").sort(), ["child", "parent", "up"]);
  });

  it("does not wait for what a process leaves behind", async () => {
    const { stdout, exit } = await run(session, ["sh", "-c", "sleep 300 & echo $!"]);
    assert.equal(exit?.code, 0);
    const left = Number(stdout);
    assert.ok(runs(left), "what was left behind lives on");
    process.kill(left, "SIGKILL");
  });

  it("hears what a process leaves behind no longer than a moment, if that writes for ever", async () => {
    for (const [script, spec] of [
      ["yes & echo done", {}],
      ["yes >&2 & echo done", {}],
      ["yes & yes >&2 & echo done", {}],
      ["while :; do echo y; sleep 0.02; done & echo done", {}],
      ["trap '' HUP; yes & echo done", { tty: true }],
    ] as const) {
      const { stdout, exit } = await run(session, ["sh", "-c", script], { spec });
      assert.equal(exit?.code, 0, script);
      assert.match(stdout, /^done\r?$/m, script);
    }
  });

  it("hears all that a process wrote itself, and the end of its pipeline", async () => {
    const own = await run(session, ["sh", "-c", "head -c 60000 /dev/zero | tr '\\0' x; sleep 300 & exit 5"]);
    assert.deepEqual([own.exit?.code, own.stdout], [5, "x".repeat(60_000)]);
    const late = await run(session, ["bash", "-c", "seq 20000 > >(tail -n 1)"]);
    assert.equal(late.stdout, "20000\n");
  });

  it("kills the group of a call that is cancelled", async () => {
    const abort = new AbortController();
    const started = deferred<number>();
    const running = run(session, ["sh", "-c", "sleep 300 & echo $!; wait"], {
      signal: abort.signal,
      onOutput: (text) => started.resolve(Number(text)),
    });
    const child = await started.promise;
    abort.abort();
    await assert.rejects(running);
    await until(() => !runs(child));
  });

  it("leaves a detached process running and answers at once", async () => {
    const mark = join(bench.root, "mark");
    await mkdir(mark);
    const outcome = await run(session, ["sh", "-c", `while [ -d ${mark} ]; do sleep 0.05; done`], {
      spec: { detach: true },
    });
    assert.equal(outcome.exit, undefined);
    assert.ok(runs(outcome.pid ?? 0));
    process.kill(outcome.pid ?? 0, "SIGKILL");
    await until(() => !runs(outcome.pid ?? 0));
  });

  it("refuses a stream that does not begin with start", async () => {
    const call = session.client.exec(
      (async function* () {
        yield stdin("x");
      })(),
    );
    await assert.rejects(async () => {
      for await (const _ of call);
    }, /first message of Exec is `start`/);
  });
});
