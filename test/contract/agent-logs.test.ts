// The main program on the real agent: output that survives its readers, stdin, stop, and the end.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { LogChunk } from "../../src/agent/index.js";
import { pumpLogs } from "../../src/agent/index.js";
import { Mode, Phase } from "../../src/gen/kiln/agent/v1/machine_pb.js";
import type { WireSession } from "../fixtures/agent-wire.js";
import { AgentBench, ENV, type ProcessSpec, run, runs, skipWithoutRoot, until } from "./agent-bench.js";

describe("agent: main program", { skip: skipWithoutRoot(), timeout: 120_000 }, () => {
  let bench: AgentBench;
  let session: WireSession;
  beforeEach(async () => {
    bench = await AgentBench.open();
    session = await bench.session();
  });
  afterEach(() => bench[Symbol.asyncDispose]());

  const boot = (process: ProcessSpec, more: object = {}) =>
    session.client.boot({ mode: Mode.APP, process: { env: ENV, ...process }, ...more });

  async function collect(from: bigint, reader = session): Promise<LogChunk[]> {
    const all: LogChunk[] = [];
    await pumpLogs(reader.workloads.main, from, async (chunks) => void all.push(...chunks));
    return all;
  }
  const text = (chunks: readonly LogChunk[], stream?: LogChunk["stream"]) =>
    Buffer.concat(
      chunks.filter((chunk) => stream === undefined || chunk.stream === stream).map((chunk) => chunk.data),
    ).toString();

  it("reports its output, by stream, and its end", async () => {
    const { pid } = await boot({ args: ["sh", "-c", "echo out; echo err >&2; exit 9"] });
    assert.ok(pid > 1);
    const chunks = await collect(0n);
    assert.equal(text(chunks, "stdout"), "out\n");
    assert.equal(text(chunks, "stderr"), "err\n");
    const { exit, nextSequence } = await session.client.wait({});
    assert.equal(exit?.code, 9);
    assert.equal(nextSequence, 8n);
    const state = await session.client.state({});
    assert.equal(state.phase, Phase.EXITED);
    assert.deepEqual([state.firstSequence, state.nextSequence], [8n, 8n], "all of it was acknowledged");
  });

  it("boots once", async () => {
    await boot({ args: ["true"] });
    await assert.rejects(boot({ args: ["true"] }), /booted already/);
  });

  it("has ended at once where it could not be started", async () => {
    const { pid } = await boot({ args: ["no-such-program"] });
    assert.equal(pid, 0);
    const { exit } = await session.client.wait({});
    assert.equal(exit?.code, 127);
    assert.match(exit?.error ?? "", /not found in PATH/);
    assert.deepEqual(await collect(0n), []);
  });

  it("loses and repeats nothing over sessions that end at any byte", async () => {
    const count = 3000;
    await boot({ args: ["sh", "-c", `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo $i; done`] });
    let stored = Buffer.alloc(0);
    for (let round = 0; ; round++) {
      const limit = stored.length + 1 + round * 977;
      const cut = new Error("cut");
      const pumped = pumpLogs(session.workloads.main, BigInt(stored.length), async (chunks) => {
        for (const chunk of chunks) stored = Buffer.concat([stored, chunk.data]);
        if (stored.length >= limit) throw cut;
      });
      const failure = await pumped.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined) break;
      assert.equal(failure, cut);
      await session.close();
      session = await bench.session();
    }
    const expected = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join("");
    assert.equal(stored.toString(), expected);
  });

  it("holds the program back when nobody stores its output, and lets it go on", async () => {
    const counter = join(bench.root, "counter");
    const script = `i=0; while [ $i -lt 100 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > ${counter}; done`;
    await boot({ args: ["sh", "-c", script] }, { logBufferBytes: 262_144n });
    let seen = "";
    await until(async () => {
      const before = seen;
      await run(session, ["sleep", "0.2"]);
      seen = await readFile(counter, "utf8").catch(() => "");
      return seen !== "" && seen === before;
    });
    assert.ok(Number(seen) <= 10, `${seen.trim()} pieces of 64 KiB fit into 256 KiB`);
    const bytes = (await collect(0n)).reduce((sum, chunk) => sum + chunk.data.length, 0);
    assert.equal(bytes, 100 * 65_536);
  });

  it("keeps the last words of a program that nobody listened to", async () => {
    await boot({ args: ["sh", "-c", "head -c 60000 /dev/zero; echo last"] }, { logBufferBytes: 1000n });
    const { nextSequence } = await session.client.wait({});
    assert.equal(nextSequence, 60_005n);
    assert.ok(text(await collect(0n)).endsWith("last\n"));
  });

  it("lets a new reader take over from the old", async () => {
    await boot({ args: ["sh", "-c", "echo one; sleep 300"] });
    const old = session.client.logs({ fromSequence: 0n })[Symbol.asyncIterator]();
    assert.equal((await old.next()).done, false);
    const fresh = session.client.logs({ fromSequence: 0n })[Symbol.asyncIterator]();
    assert.equal((await fresh.next()).done, false);
    assert.equal((await old.next()).done, true);
    await session.client.stop({ signal: 9, timeoutMs: 1000 });
    assert.equal((await fresh.next()).done, true);
  });

  it("refuses to read from where the log has not come to", async () => {
    await boot({ args: ["sleep", "300"] });
    await assert.rejects(collect(1n), /has not come to 1 yet/);
    await session.client.signal({ signal: 9 });
  });

  it("takes stdin over several calls, and ends it", async () => {
    await boot({ args: ["cat"], stdin: true });
    const write = (data: string, eof: boolean) =>
      session.client.stdin(
        (async function* () {
          yield { data: Buffer.from(data), eof };
        })(),
      );
    await write("one ", false);
    await write("two", true);
    assert.equal(text(await collect(0n)), "one two");
    assert.equal((await session.client.wait({})).exit?.code, 0);
  });

  it("has a terminal whose size can change", async () => {
    const script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done";
    await boot({ args: ["sh", "-c", script], tty: true, window: { columns: 90, rows: 20 } });
    await until(async () => (await session.client.state({})).nextSequence > 0n);
    await session.client.resize({ window: { columns: 91, rows: 21 } });
    assert.equal(text(await collect(0n)), "20 90\r\n21 91\r\n");
  });

  it("is stopped by its signal", async () => {
    await boot({ args: ["sh", "-c", "trap 'echo bye; exit 4' INT; echo up; while :; do sleep 0.05; done"] });
    await until(async () => (await session.client.state({})).nextSequence > 0n);
    await session.client.stop({ signal: 2, timeoutMs: 60_000 });
    assert.equal((await session.client.wait({})).exit?.code, 4);
    assert.equal(text(await collect(0n)), "up\nbye\n");
  });

  it("is killed when it does not heed its signal", async () => {
    await boot({ args: ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"] });
    await until(async () => (await session.client.state({})).nextSequence > 0n);
    await session.client.stop({ timeoutMs: 100 });
    const { exit } = await session.client.wait({});
    assert.deepEqual([exit?.code, exit?.signal], [137, 9]);
    await assert.rejects(session.client.stop({}), /has ended/);
  });

  it("takes what it left behind along", async () => {
    await boot({ args: ["sh", "-c", "sleep 300 & echo $!"] });
    await session.client.wait({});
    const left = Number(text(await collect(0n)));
    await until(() => !runs(left));
  });

  it("stays until its exit is acknowledged, however many hosts come", async () => {
    await boot({ args: ["sh", "-c", "exit 6"] });
    await session.client.wait({});
    await session.close();
    session = await bench.session();
    assert.equal((await session.client.state({})).exit?.code, 6);
    await assert.rejects(run(session, ["true"]), /has ended/);
    const gone = new Promise((resolve) => bench.process.once("exit", resolve));
    await session.client.ackExit({});
    assert.equal(await gone, 0);
  });
});
