import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { Code, KilnError } from "../base/errors.js";
import { Kiln } from "./kiln.js";

let kilnd: FakeKilnd;
let kiln: Kiln;

beforeEach(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  kiln = await Kiln.connect({ host: kilnd.host });
});
afterEach(async () => {
  await kiln.close();
  await kilnd.close();
});

function isClosed(error: unknown): boolean {
  assert.ok(error instanceof KilnError);
  assert.deepEqual([error.code, error.reason], [Code.Cancelled, "client-closed"]);
  assert.match(error.message, /: this client was closed$/);
  return true;
}

/** When kilnd has been asked it. */
async function asked(call: string): Promise<void> {
  while (!kilnd.calls.some((each) => each.startsWith(call))) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const next = (stream: AsyncIterable<unknown>) => stream[Symbol.asyncIterator]().next();

describe("a client that is closed", () => {
  it("ends calls that would wait for another kilnd, and says why", async () => {
    const vm = kiln.vms.ref("web");
    const job = await vm.processes.start(["job"]);
    const calls = [next(kiln.events()), vm.wait(), job.wait(), next(job.logs({ follow: true }))];
    await Promise.all(["WaitVm", "WaitExec", "Logs"].map(asked));
    await kiln.close();
    for (const call of calls) await assert.rejects(call, isClosed);
  });

  it("ends an exec that runs", async () => {
    const exec = kiln.vms.ref("web").exec(["cat"], { stdin: "pipe" });
    await exec.pid();
    const result = exec.result();
    await kiln.close();
    await assert.rejects(result, isClosed);
  });

  it("makes no more calls", async () => {
    await kiln.close();
    const vm = kiln.vms.ref("web");
    for (const call of [vm.inspect(), vm.wait(), vm.processes.get("a0"), next(vm.logs())]) {
      await assert.rejects(call, isClosed);
    }
  });
});
