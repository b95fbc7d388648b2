// A guest that is silent to whoever has sent a program in it a signal.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../../base/errors.js";
import { type Deferred, deferred } from "../../base/runtime.js";
import type { ExecAsk, ExecOutput, ProcessInput } from "../index.js";
import type { VmEntry } from "../vm/entry.js";

const ASK: ExecAsk = {
  kind: "start",
  spec: {
    args: ["cat"],
    env: [],
    user: "",
    workdir: "",
    tty: false,
    stdin: false,
    columns: 0,
    rows: 0,
    detach: false,
    id: "",
  },
};

let entry: VmEntry;
let vmm: FakeVmm;
let asking: Deferred<ProcessInput>;
let client: AbortController;
let outputs: AsyncGenerator<ExecOutput>;
afterEach(async () => {
  client.abort();
  await outputs.next().catch(() => undefined);
});
const kilnd = engineCase({ heardMs: 1 });
beforeEach(async () => {
  ({ entry, vmm } = await kilnd.running());
  asking = deferred();
  client = new AbortController();
  outputs = kilnd.engine.vms.exec(entry.id, ASK, asked(), client.signal);
  assert.deepEqual([await nextKind(), await nextKind()], ["started", "output"]);
});

async function* asked(): AsyncGenerator<ProcessInput> {
  yield await asking.promise;
  await new Promise(() => undefined);
}

async function nextKind(): Promise<string | undefined> {
  const { value } = await outputs.next();
  return value?.kind;
}

/** Waits until the guest was asked for signs of life that often. */
async function pinged(times: number): Promise<void> {
  while (vmm.guest.pings < times) await new Promise((resolve) => setImmediate(resolve));
}

const isSilence = (error: unknown) => {
  assert.ok(error instanceof KilnError, String(error));
  assert.deepEqual([error.code, error.reason], [Code.DeadlineExceeded, "agent-silent"]);
  assert.match(error.message, new RegExp(`exec in VM ${entry.name}: .*no sign of life.*may live on`));
  assert.match(error.hint ?? "", /kiln kill/);
  return true;
};

describe("an exec whose program was sent a signal", () => {
  for (const signal of ["TERM", "USR1"]) {
    it(`ends where the guest is silent to ${signal}`, async () => {
      vmm.guest.silent = true;
      const ended = assert.rejects(outputs.next(), isSilence);
      asking.resolve({ kind: "signal", signal });
      await ended;
    });
  }

  for (const signal of ["SIGTERM", "INT", "1"]) {
    it(`ends where the guest falls silent some time after ${signal}`, async () => {
      const ended = assert.rejects(outputs.next(), isSilence);
      asking.resolve({ kind: "signal", signal });
      await pinged(3);
      vmm.guest.silent = true;
      await ended;
    });
  }

  it("ends where the guest lives and its program does not get to run", async () => {
    vmm.guest.starved = true;
    const ended = assert.rejects(outputs.next(), (error) => {
      assert.ok(error instanceof KilnError, String(error));
      assert.deepEqual([error.code, error.reason], [Code.Aborted, "program-starved"]);
      assert.match(error.message, new RegExp(`exec in VM ${entry.name}: .*does not get to run`));
      assert.match(error.hint ?? "", /kiln kill/);
      return true;
    });
    asking.resolve({ kind: "signal", signal: "TERM" });
    await ended;
  });

  it("goes on for as long as the guest lives, whatever the program does with it", async () => {
    const waiting = outputs.next();
    asking.resolve({ kind: "signal", signal: "TERM" });
    await pinged(5);
    client.abort(new Error("the client has left"));
    await assert.rejects(waiting, /the client has left/);
  });
});
