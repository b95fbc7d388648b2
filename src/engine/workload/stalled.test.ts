// A VM that its host's full disk has stopped, as those see it who want something of it.

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import type { ExecAsk, ExecOutput, ProcessInput } from "../index.js";
import { stallOf } from "../run/vm-access.js";
import type { VmEntry } from "../vm/entry.js";

const ASK: ExecAsk = {
  kind: "start",
  spec: {
    args: ["cat"],
    env: [],
    user: "",
    workdir: "",
    tty: false,
    stdin: true,
    columns: 0,
    rows: 0,
    detach: false,
    id: "",
  },
};

let entry: VmEntry;
const kilnd = engineCase();
beforeEach(async () => {
  ({ entry } = await kilnd.running());
});

async function* silence(): AsyncGenerator<ProcessInput> {
  await new Promise(() => undefined);
}

async function stalls(is: boolean): Promise<void> {
  kilnd.world.vmms.at(-1)?.stall?.(is ? "no space left" : undefined);
  while ((stallOf(entry) !== undefined) !== is) await new Promise((resolve) => setImmediate(resolve));
}

async function next(outputs: AsyncGenerator<ExecOutput>): Promise<ExecOutput> {
  const { value, done } = await outputs.next();
  assert.notEqual(done, true);
  return value as ExecOutput;
}

describe("a VM that stands still at a full disk", () => {
  it("is told of to an exec that waits, once, and once when it goes on", async () => {
    const client = new AbortController();
    const outputs = kilnd.engine.vms.exec(entry.id, ASK, silence(), client.signal);
    assert.deepEqual([(await next(outputs)).kind, (await next(outputs)).kind], ["started", "output"]);
    const waiting = next(outputs);
    await stalls(true);
    const stalled = await waiting;
    assert.ok(stalled.kind === "stalled" && stalled.reason === "host-disk-full");
    assert.match(stalled.message, new RegExp(`the host's disk is full; VM ${entry.name} waits`));
    const going = next(outputs);
    await stalls(false);
    assert.deepEqual(await going, { kind: "stalled", reason: "", message: "" });
    const ended = outputs.next();
    client.abort();
    await assert.rejects(ended);
  });

  it("refuses another exec at once, and a signal, by that name", async () => {
    await stalls(true);
    await assert.rejects(kilnd.engine.vms.exec(entry.id, ASK, silence()).next(), (error) =>
      hasReason(error, "vm-stalled"),
    );
    await assert.rejects(kilnd.engine.vms.signal(entry.id, "USR1"), (error) =>
      hasReason(error, "vm-stalled"),
    );
  });

  it("is in kilnd's log with its name and why, once, and so is that it goes on", async () => {
    const lines = () => kilnd.world.logged.filter((line) => /stands still|goes on/.test(line));
    const told = async (count: number) => {
      while (lines().length < count) await new Promise((resolve) => setImmediate(resolve));
    };
    await stalls(true);
    await told(1);
    assert.match(lines()[0] ?? "", /level=warn .*host's disk is full/);
    assert.match(lines()[0] ?? "", new RegExp(`vm="?${entry.shortId}.*why="no space left"`));
    await stalls(false);
    await told(2);
    assert.match(lines()[1] ?? "", new RegExp(`level=info .*the VM goes on.*${entry.shortId}`));
    assert.equal(lines().length, 2, lines().join(""));
  });

  it("is not what a user has paused", async () => {
    await kilnd.engine.vms.pause(entry.id);
    await assert.rejects(kilnd.engine.vms.exec(entry.id, ASK, silence()).next(), (error) =>
      hasReason(error, "vm-paused"),
    );
  });
});
