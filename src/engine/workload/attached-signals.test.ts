// A client of the main program who has asked it to end, and a guest that does not take it.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { worldCase } from "../../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../../base/errors.js";
import { type Deferred, deferred } from "../../base/runtime.js";
import type { AttachOutput, ProcessInput } from "../index.js";
import type { EngineContext } from "../run/context.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import { AttachedSignals } from "./attached-signals.js";

let entry: VmEntry;
let vmm: FakeVmm;
let asking: Deferred<ProcessInput>;
let client: AbortController;
let outputs: AsyncGenerator<AttachOutput>;
afterEach(async () => {
  client.abort();
  await outputs.next().catch(() => undefined);
});
const kilnd = worldCase();

/** Attached to a new VM that runs; gives what comes next. */
async function attached(heardMs = 1): Promise<{ readonly next: Promise<IteratorResult<AttachOutput>> }> {
  await kilnd.start({ heardMs, linkPauses: { first: 1, longest: 1 } });
  entry = await kilnd.create();
  asking = deferred();
  client = new AbortController();
  const spec = { id: "", stdin: false, logs: false, start: true };
  outputs = kilnd.engine.vms.attach(entry.id, spec, asked(), client.signal);
  assert.equal((await outputs.next()).value?.kind, "attached");
  const waiting = outputs.next();
  waiting.catch(() => undefined);
  await kilnd.engine.reached(entry, "running");
  const last = kilnd.world.vmms.at(-1);
  assert.ok(last);
  vmm = last;
  return { next: waiting };
}

async function* asked(): AsyncGenerator<ProcessInput> {
  yield await asking.promise;
  await new Promise(() => undefined);
}

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const isSilence = (error: unknown) => {
  assert.ok(error instanceof KilnError, String(error));
  assert.deepEqual([error.code, error.reason], [Code.DeadlineExceeded, "agent-silent"]);
  assert.match(error.message, new RegExp(`attach to VM ${entry.name}: .*no sign of life.*may live on`));
  assert.match(error.hint ?? "", /kiln kill/);
  return true;
};

describe("an attachment whose client has asked the program to end", () => {
  for (const signal of ["TERM", "SIGINT"]) {
    it(`ends where the guest does not take ${signal}`, async () => {
      const { next } = await attached();
      vmm.guest.silent = true;
      asking.resolve({ kind: "signal", signal });
      await assert.rejects(next, isSilence);
      assert.equal(entry.state, "running");
    });
  }

  it("ends where the guest falls silent some time after it", async () => {
    const { next } = await attached();
    asking.resolve({ kind: "signal", signal: "TERM" });
    await eventually(() => vmm.guest.pings >= 3);
    vmm.guest.silent = true;
    await assert.rejects(next, isSilence);
  });

  it("ends with the reason where the VM was paused", async () => {
    const { next } = await attached();
    await kilnd.engine.vms.pause(entry.id);
    asking.resolve({ kind: "signal", signal: "TERM" });
    await assert.rejects(next, (error) => {
      assert.ok(error instanceof KilnError, String(error));
      assert.deepEqual([error.code, error.reason], [Code.FailedPrecondition, "vm-paused"]);
      assert.match(error.message, /signal did not reach the program: .*paused/);
      assert.match(error.hint ?? "", /kiln stop.*kiln kill/);
      return true;
    });
  });

  it("goes on over a session that breaks, for as long as the guest lives", async () => {
    const { next } = await attached(300);
    asking.resolve({ kind: "signal", signal: "TERM" });
    await eventually(() => vmm.guest.pings >= 1);
    vmm.guest.cut("the channel was closed");
    await eventually(() => vmm.guest.pings >= 2);
    vmm.guest.exit(143);
    const { value } = await next;
    assert.equal(value?.kind === "exit" ? value.code : value, 143);
  });

  it("waits on after a signal that asks for something else", async () => {
    const { next } = await attached();
    vmm.guest.silent = true;
    asking.resolve({ kind: "signal", signal: "USR1" });
    await eventually(() => vmm.guest.calls.includes("signal 10"));
    vmm.guest.silent = false;
    vmm.guest.exit(3);
    const { value } = await next;
    assert.equal(value?.kind === "exit" ? value.code : value, 3);
  });

  it("ends where the guest falls silent that the signal had to wait for", async () => {
    await attached();
    await eventually(() => entry.live !== undefined);
    const { run } = entry;
    entry.run = undefined; // as between two boots, or until a new kilnd has it
    const verbs = {
      signal: async () => {
        entry.run = run;
        vmm.guest.silent = true;
      },
    };
    const unheard = deferred<KilnError>();
    const signals = new AttachedSignals({
      ctx: { settings: { heardMs: 1 } } as EngineContext,
      verbs: verbs as unknown as VmVerbs,
      entry,
      onUnheard: unheard.resolve,
      signal: client.signal,
    });
    await signals.send("TERM");
    assert.ok(isSilence(await unheard.promise));
  });
});
