import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { deferred } from "../base/runtime.js";
import { type LogChunk, type LogSource, pumpLogs } from "./log-pump.js";
import type { LogPiece } from "./workloads.js";

const response = (sequence: bigint, text: string, stream: LogPiece["stream"] = "stdout"): LogPiece => ({
  sequence,
  stream,
  timeUnixNs: 5n,
  data: Buffer.from(text),
});

/** A program that gives these responses and notes what is acknowledged. */
function sourceOf(responses: AsyncIterable<LogPiece> | Iterable<LogPiece>) {
  const acknowledged: bigint[] = [];
  const source: LogSource = {
    async *logs() {
      yield* responses;
    },
    ackLogs: async (nextSequence) => {
      acknowledged.push(nextSequence);
    },
  };
  return { source, acknowledged };
}

describe("log pump", () => {
  it("stores every chunk and acknowledges the last", async () => {
    const { source, acknowledged } = sourceOf([response(3n, "out"), response(6n, "err", "stderr")]);
    const stored: string[] = [];
    await pumpLogs(source, 3n, async (chunks) => {
      for (const { stream, data } of chunks) stored.push(`${stream}: ${Buffer.from(data)}`);
    });
    assert.deepEqual(stored, ["stdout: out", "stderr: err"]);
    assert.equal(acknowledged.at(-1), 9n);
  });

  it("acknowledges nothing before it is stored", async () => {
    const { source, acknowledged } = sourceOf([response(0n, "x")]);
    const storing = deferred<void>();
    const pumped = pumpLogs(source, 0n, () => storing.promise);
    await Promise.resolve();
    assert.deepEqual(acknowledged, []);
    storing.resolve();
    await pumped;
    assert.deepEqual(acknowledged, [1n]);
  });

  it("refuses a gap, a repeat, nothing, too much at once, and a place that no output comes to", async () => {
    const wrong = [
      [response(2n ** 53n, "x")],
      [response(2n ** 64n - 1n, "x")],
      [response(0n, "x"), response(2n, "z")],
      [response(0n, "xy"), response(1n, "y")],
      [response(0n, "")],
      [response(0n, "x".repeat(70_000))],
    ];
    for (const responses of wrong) {
      const { source } = sourceOf(responses);
      await assert.rejects(
        pumpLogs(source, 0n, async () => undefined),
        (error) => hasReason(error, "log-gap"),
      );
    }
  });

  it("begins with the oldest that is still there, but never before what was asked for", async () => {
    const { source, acknowledged } = sourceOf([response(7n, "x"), response(8n, "y")]);
    const stored: bigint[] = [];
    const sink = async (chunks: readonly LogChunk[]) =>
      void stored.push(...chunks.map((each) => each.sequence));
    await pumpLogs(source, 5n, sink);
    assert.deepEqual([stored, acknowledged.at(-1)], [[7n, 8n], 9n]);
    await assert.rejects(pumpLogs(source, 8n, sink), (error) => hasReason(error, "log-gap"));
  });

  it("ends with the failure of the store, and acknowledges no more", async () => {
    const { source, acknowledged } = sourceOf([response(0n, "x"), response(1n, "y")]);
    const full = new Error("disk full");
    await assert.rejects(
      pumpLogs(source, 0n, async () => {
        throw full;
      }),
      full,
    );
    assert.deepEqual(acknowledged, []);
  });

  it("reads no further than the store can follow", async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<LogPiece> {
      for (let sequence = 0n; ; sequence += 65_536n) {
        given++;
        yield response(sequence, "x".repeat(65_536));
      }
    }
    const { source } = sourceOf(endless());
    const storing = deferred<void>();
    const pumped = pumpLogs(source, 0n, () => storing.promise);
    for (let turn = 0; turn < 1000; turn++) await Promise.resolve();
    assert.ok(given <= 10, `${given} chunks were read`);
    storing.resolve();
    const failed = assert.rejects(pumped);
    // The store follows again; end it by a gap.
    source.ackLogs = () => Promise.reject(new Error("gone"));
    await failed;
  });
});
