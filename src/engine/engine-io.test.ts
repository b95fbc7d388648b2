import assert from "node:assert/strict";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../test/fixtures/fake-rooms.js";
import { hasReason } from "../base/errors.js";
import { deferred } from "../base/runtime.js";
import type { VmEntry } from "./vm/entry.js";
import type { VmConfig } from "./vm/vm-config.js";
import type { AttachOutput, ExecOutput, ExecSpec, ProcessInput } from "./workload/process-io.js";

const kilnd = engineCase();

async function running(config: Partial<VmConfig> = {}): Promise<VmEntry> {
  const entry = await kilnd.create(config);
  await kilnd.engine.vms.start(entry.id);
  return entry;
}

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

function vmm(): FakeVmm {
  const last = kilnd.world.vmms.at(-1);
  assert.ok(last);
  return last;
}

const SPEC: ExecSpec = {
  id: "",
  args: ["ls", "/"],
  env: [],
  user: "",
  workdir: "",
  tty: false,
  stdin: true,
  columns: 0,
  rows: 0,
  detach: false,
};

const start = (spec: ExecSpec) => ({ kind: "start", spec }) as const;

async function* inputs(...items: ProcessInput[]): AsyncGenerator<ProcessInput> {
  yield* items;
}

async function* thenWait(...items: ProcessInput[]): AsyncGenerator<ProcessInput> {
  yield* items;
  await new Promise(() => undefined);
}

const text = (value: string): ProcessInput => ({ kind: "stdin", data: Buffer.from(value) });

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const shown = (outputs: readonly (ExecOutput | AttachOutput)[]) =>
  outputs.map((output) => (output.kind === "output" ? Buffer.from(output.data).toString() : output.kind));

describe("exec", () => {
  it("carries start, output, input and exit in order", async () => {
    const entry = await running();
    const outputs = await collect(
      kilnd.engine.vms.exec(entry.name, start(SPEC), inputs(text("typed"), { kind: "stdin-eof" })),
    );
    assert.deepEqual(shown(outputs), ["started", "ls /", "typed", "exit"]);
    const exit = outputs.at(-1);
    assert.equal(exit?.kind === "exit" ? exit.code : undefined, 3);
  });

  for (const [what, prepare, reason] of [
    ["created", async () => kilnd.create(), "vm-created"],
    [
      "exited",
      async () => running().then((entry) => kilnd.engine.vms.stop(entry.id).then(() => entry)),
      "vm-exited",
    ],
  ] as const) {
    it(`is refused on a VM that is ${what}`, async () => {
      const entry = await prepare();
      await assert.rejects(collect(kilnd.engine.vms.exec(entry.id, start(SPEC), inputs())), (error) =>
        hasReason(error, reason),
      );
    });
  }

  it("says of one that is gone on with that its VM has ended under it", async () => {
    const entry = await running();
    const resume = { id: "a".repeat(32), nextSequence: 0n };
    await kilnd.engine.vms.stop(entry.id);
    const again = collect(kilnd.engine.vms.exec(entry.id, { kind: "resume", resume }, inputs()));
    await assert.rejects(again, {
      message: `exec in VM ${entry.name}: the VM has ended under it, and is exited now`,
      reason: "vm-exited",
    });
  });

  it("hears of no end of stdin where kilnd goes and cuts its caller off", async () => {
    const entry = await running();
    const cut = deferred<void>();
    const asked = async function* (): AsyncGenerator<ProcessInput> {
      yield text("typed");
      await cut.promise;
    };
    const outputs: ExecOutput[] = [];
    const call = async () => {
      const spec = { ...SPEC, id: "a".repeat(32) };
      const said = kilnd.engine.vms.exec(entry.id, start(spec), asked(), caller.signal);
      for await (const output of said) outputs.push(output);
    };
    const caller = new AbortController();
    const ended = call().catch(() => undefined);
    await eventually(() => outputs.length === 3);
    kilnd.engine.leave();
    cut.resolve();
    caller.abort();
    // Whatever was said before is heard before this one's end is.
    await collect(kilnd.engine.vms.exec(entry.id, start(SPEC), inputs({ kind: "stdin-eof" })));
    await kilnd.engine.close();
    await ended;
    assert.deepEqual([vmm().guest.endedExecs, shown(outputs)], [0, ["started", "ls /", "typed"]]);
  });

  it("ends with its caller's words where its caller leaves", async () => {
    const entry = await running();
    const caller = new AbortController();
    const spec = { ...SPEC, id: "a".repeat(32) };
    const outputs: ExecOutput[] = [];
    const call = async () => {
      const said = kilnd.engine.vms.exec(entry.id, start(spec), thenWait(text("typed")), caller.signal);
      for await (const output of said) outputs.push(output);
    };
    const ended = call().catch((error: unknown) => error);
    await eventually(() => outputs.length === 3);
    caller.abort();
    assert.equal(await ended, caller.signal.reason);
    await eventually(() => vmm().guest.endedExecs === 1);
  });

  it("needs a command", async () => {
    const entry = await running();
    await assert.rejects(
      collect(kilnd.engine.vms.exec(entry.id, start({ ...SPEC, args: [] }), inputs())),
      (error) => hasReason(error, "no-command"),
    );
  });

  it("says which VM does not exist", async () => {
    assert.throws(
      () => kilnd.engine.vms.exec("nobody", start(SPEC), inputs()),
      (error) => hasReason(error, "vm-not-found"),
    );
  });
});

describe("attach", () => {
  const SPEC_ALL = { id: "", stdin: true, logs: false, start: true };
  const SPEC_HERE = { ...SPEC_ALL, start: false };

  it("starts the VM, misses no output, and ends with the exit", async () => {
    kilnd.world.behaviours = [{ exitsWith: 4 }];
    const entry = await kilnd.create();
    const outputs = await collect(kilnd.engine.vms.attach(entry.id, SPEC_ALL, thenWait()));
    assert.deepEqual(shown(outputs), ["attached", "exit"]);
    const exit = outputs.at(-1);
    assert.equal(exit?.kind === "exit" ? exit.code : undefined, 4);
  });

  it("gives a --rm VM's last output before the VM goes", async () => {
    const entry = await kilnd.create({ autoRemove: true });
    const reading = collect(kilnd.engine.vms.attach(entry.id, SPEC_ALL, thenWait()));
    await kilnd.engine.reached(entry, "running");
    vmm().guest.print("last words");
    vmm().guest.exit(0);
    assert.deepEqual(shown(await reading), ["attached", "last words", "exit"]);
    await kilnd.engine.reached(entry, "removed");
  });

  it("gives a --rm VM's last words on the console before the VM goes", async () => {
    const entry = await kilnd.create({ autoRemove: true });
    await kilnd.engine.vms.start(entry.id);
    await mkdir(dirname(entry.status.consoleLog), { recursive: true });
    await writeFile(entry.status.consoleLog, "first ");
    const words: string[] = [];
    const reading = (async () => {
      for await (const { data } of kilnd.engine.vms.console(entry.id, { follow: true }))
        words.push(Buffer.from(data).toString());
    })();
    await eventually(() => words.length > 0);
    // Some looks later: then the reader waits for the next one, and the VM ends before it.
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    await appendFile(entry.status.consoleLog, "last");
    vmm().guest.exit(0);
    await reading;
    assert.deepEqual(words, ["first ", "last"]);
    await kilnd.engine.reached(entry, "removed");
  });

  it("is an exit of 127 for a program that is not there", async () => {
    kilnd.world.behaviours = [{ notFound: true }];
    const entry = await kilnd.create({ autoRemove: true });
    const exit = (await collect(kilnd.engine.vms.attach(entry.id, SPEC_ALL, thenWait()))).at(-1);
    assert.equal(exit?.kind === "exit" ? exit.code : undefined, 127);
  });

  it("fails when the VM can't be started", async () => {
    kilnd.world.behaviours = [{ bootError: "no" }];
    const entry = await kilnd.create();
    await assert.rejects(collect(kilnd.engine.vms.attach(entry.id, SPEC_ALL, thenWait())), (error) =>
      hasReason(error, "guest-setup-failed"),
    );
  });

  it("replays what was written before, or not", async () => {
    const entry = await running();
    vmm().guest.print("before ");
    while (entry.log.nextSequence < 7n) await new Promise((resolve) => setImmediate(resolve));
    const attach = (logs: boolean) =>
      kilnd.engine.vms.attach(entry.id, { id: "", stdin: false, logs, start: false }, thenWait());
    const [fromStart, fromNow] = [attach(true), attach(false)];
    // Where each begins is settled once it has said "attached".
    for (const reader of [fromStart, fromNow]) assert.equal((await reader.next()).value?.kind, "attached");
    vmm().guest.print("after");
    vmm().guest.exit(0);
    const [all, late] = await Promise.all([collect(fromStart), collect(fromNow)]);
    assert.equal(shown(all).join("|"), "before |after|exit");
    assert.equal(shown(late).join("|"), "after|exit");
  });

  for (const countsNoInput of [false, true]) {
    const whose = countsNoInput ? " to an older agent" : "";
    it(`carries stdin of those who ask for it, and its end${whose}`, async () => {
      kilnd.world.behaviours = [{ countsNoInput }];
      const entry = await kilnd.create({ openStdin: true });
      const reading = collect(
        kilnd.engine.vms.attach(entry.id, SPEC_ALL, thenWait(text("in"), { kind: "stdin-eof" })),
      );
      await kilnd.engine.reached(entry, "running");
      while (!vmm().guest.stdin.endsWith("<eof>")) await new Promise((resolve) => setImmediate(resolve));
      vmm().guest.exit(0);
      await reading;
      assert.equal(vmm().guest.stdin, "in<eof>");
    });
  }

  it("goes on with stdin and signals when the agent's session breaks", async () => {
    const entry = await running({ openStdin: true });
    const { guest } = vmm();
    async function* input(): AsyncGenerator<ProcessInput> {
      yield text("one ");
      await eventually(() => guest.stdin === "one ");
      guest.cut("the channel was closed");
      yield text("two");
      await eventually(() => guest.stdin === "one two");
      yield { kind: "signal", signal: "HUP" };
      await new Promise<never>(() => undefined);
    }
    const reading = collect(kilnd.engine.vms.attach(entry.id, SPEC_ALL, input()));
    await eventually(() => guest.calls.includes("signal 1"));
    guest.exit(0);
    await reading;
    assert.deepEqual([guest.stdin, guest.sessions], ["one two", 2]);
  });

  it("to a paused VM waits with stdin, and hears signals once it goes on", async () => {
    const entry = await running({ openStdin: true });
    const { guest } = vmm();
    await kilnd.engine.vms.pause(entry.id);
    const refused = deferred<void>();
    async function* input(): AsyncGenerator<ProcessInput> {
      // Refused, as by `kiln kill` on a paused VM; it ends nothing.
      yield { kind: "signal", signal: "USR1" };
      refused.resolve();
      yield text("early");
      await eventually(() => guest.stdin === "early");
      yield { kind: "signal", signal: "HUP" };
      await new Promise<never>(() => undefined);
    }
    const outputs = kilnd.engine.vms.attach(entry.id, SPEC_HERE, input());
    assert.equal((await outputs.next()).value?.kind, "attached");
    const reading = collect(outputs);
    await refused.promise;
    await kilnd.engine.vms.unpause(entry.id);
    await eventually(() => guest.calls.includes("signal 1"));
    guest.exit(0);
    await reading;
    assert.deepEqual(guest.calls.slice(0, 1), ["signal 1"]);
  });

  it("that goes on while the VM is paused learns where its stdin goes on as soon as it runs", async () => {
    const entry = await running({ openStdin: true });
    const { guest } = vmm();
    const spec = { ...SPEC_HERE, id: "an-id-nobody-guesses" };
    const left = new AbortController();
    const first = collect(kilnd.engine.vms.attach(entry.id, spec, thenWait(text("ab")), left.signal));
    await eventually(() => guest.stdin === "ab");
    left.abort(new Error("left"));
    await assert.rejects(first);
    await kilnd.engine.vms.pause(entry.id);
    const again = { ...spec, resume: { after: undefined } };
    const outputs = kilnd.engine.vms.attach(entry.id, again, thenWait(text("cd")));
    assert.equal((await outputs.next()).value?.kind, "attached");
    const next = outputs.next();
    await kilnd.engine.vms.unpause(entry.id);
    const { value } = await next;
    assert.equal(value?.kind === "resumable" ? value.stdinNext : undefined, 2n);
    const reading = collect(outputs);
    await eventually(() => guest.stdin === "abcd");
    guest.exit(0);
    await reading;
  });

  it("passes resizes and signals on", async () => {
    const entry = await running();
    const items: ProcessInput[] = [
      { kind: "resize", columns: 120, rows: 40 },
      { kind: "signal", signal: "HUP" },
    ];
    const abort = new AbortController();
    const reading = collect(
      kilnd.engine.vms.attach(
        entry.id,
        { id: "", stdin: false, logs: false, start: false },
        thenWait(...items),
        abort.signal,
      ),
    );
    while (vmm().guest.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(vmm().guest.calls, ["resize 120x40", "signal 1"]);
    abort.abort(new Error("left"));
    await assert.rejects(reading);
    assert.equal(entry.state, "running");
  });

  it("is refused on a VM that does not run, unless it starts it", async () => {
    const entry = await kilnd.create();
    await assert.rejects(
      collect(kilnd.engine.vms.attach(entry.id, { ...SPEC_ALL, start: false }, inputs())),
      (error) => hasReason(error, "vm-created"),
    );
  });
});
