import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { type LogOptions, readLogs } from "./logs.js";
import type { Calls } from "./scoped-calls.js";

const lost = () => new KilnError(Code.Unavailable, "lost", { reason: "connection-lost" });

/** Follows a quiet VM whose kilnd goes away before it has written anything. Gives the second request. */
async function askedAgain(options: LogOptions): Promise<Record<string, unknown>> {
  const requests: Record<string, unknown>[] = [];
  const calls = {
    serverStream: async function* (_: string, request: Record<string, unknown>) {
      if (requests.push(request) === 1) throw lost();
      yield { data: Buffer.from("late").toString("base64"), next: { boot: 1, sequence: "4" } };
    },
  };
  let text = "";
  for await (const { data } of readLogs(
    calls as unknown as Calls,
    { vm: "web" },
    { ...options, follow: true },
  )) {
    text += Buffer.from(data).toString();
  }
  assert.equal(text, "late");
  return requests[1] ?? {};
}

describe("following the log of a quiet VM over another kilnd", () => {
  it("asks for all that has come since, of the end too", async () => {
    const asked = Date.now();
    const { tail, since } = await askedAgain({ tail: 0 });
    assert.equal(tail, undefined);
    assert.ok(Date.parse(String(since)) >= asked, String(since));
    assert.equal((await askedAgain({ tail: 5 })).tail, undefined);
    const later = new Date(asked + 3_600_000);
    assert.equal((await askedAgain({ tail: 0, since: later })).since, later.toISOString());
  });

  it("ends at its signal with a KilnError, also while it waits for kilnd", async () => {
    const abort = new AbortController();
    const calls = {
      serverStream: async function* () {
        setImmediate(() => abort.abort());
        throw lost();
      },
    };
    const logs = readLogs(calls as unknown as Calls, { vm: "web" }, { follow: true, signal: abort.signal });
    await assert.rejects(logs.next(), (error) => hasReason(error, "cancelled"));
  });
});
