// What the engine makes of an agent that breaks its protocol, of one that is only silent, and of a clock that stood.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../test/fixtures/fake-rooms.js";
import { planStep } from "./run/guest-clock.js";
import type { ExecSpec, ProcessInput } from "./workload/process-io.js";

const EXEC: ExecSpec = {
  args: ["id"],
  id: "",
  env: [],
  user: "",
  workdir: "",
  tty: false,
  stdin: false,
  columns: 0,
  rows: 0,
  detach: false,
};
/** As many sessions as it likes, in no time. */
const HASTY = { linkPauses: { first: 0, longest: 1 } };

const kilnd = engineCase(HASTY);

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

async function* nothing(): AsyncGenerator<ProcessInput> {
  yield* [];
}

describe("an agent that breaks the protocol", () => {
  it("is spoken to again, and the VM runs on", async () => {
    kilnd.world.behaviours = [{ breaches: 3 }];
    const { entry, vmm } = await kilnd.running();
    vmm.guest.cut("the guest broke HTTP/2", true);
    await eventually(() => vmm.guest.sessions === 5);
    const outputs = [];
    for await (const output of kilnd.engine.vms.exec(entry.id, { kind: "start", spec: EXEC }, nothing())) {
      outputs.push(output.kind);
    }
    assert.deepEqual(outputs, ["started", "output", "exit"]);
    assert.equal(entry.state, "running");
  });

  it("fails its VM with a reason where it never stops", async () => {
    kilnd.world.behaviours = [{ breaches: 1000 }];
    const { entry, vmm } = await kilnd.running();
    vmm.guest.cut("the guest broke HTTP/2", true);
    await kilnd.engine.reached(entry, "exited");
    assert.deepEqual([entry.state, entry.status.reason], ["failed", "agent-lost"]);
    assert.match(entry.status.message, /broke the protocol again and again: the guest broke HTTP\/2/);
    assert.equal(vmm.alive, false);
  });

  it("is stopped all the same while it is spoken to again", async () => {
    kilnd.world.behaviours = [{ breaches: 4 }];
    const { entry, vmm } = await kilnd.running();
    vmm.guest.cut("the guest broke HTTP/2", true);
    await kilnd.engine.vms.stop(entry.id);
    assert.ok(vmm.guest.calls.includes("stop 15 10000"), vmm.guest.calls.join());
    assert.deepEqual([entry.state, entry.status.exitCode], ["exited", 143]);
  });
});

describe("an agent whose answers are lost", () => {
  it("is asked to stop again, and its VMM is not ended for it", async () => {
    kilnd.world.behaviours = [{ lostAnswers: 2 }];
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.stop(entry.id);
    const asked = vmm.guest.calls.filter((call) => call === "stop 15 10000");
    assert.ok(asked.length >= 2, "one was not heard, the answer to the next was lost");
    assert.deepEqual([entry.state, entry.status.exitCode], ["exited", 143]);
    assert.ok(vmm.guest.calls.includes("ackExit"), "it ended by itself");
  });

  it("is asked for the program's end again, on the same session", async () => {
    kilnd.world.behaviours = [{ lostAnswers: 2 }];
    const { entry, vmm } = await kilnd.running();
    vmm.guest.exit(7);
    await kilnd.engine.reached(entry, "exited");
    assert.deepEqual([entry.status.exitCode, vmm.guest.sessions], [7, 1]);
  });

  it("that refuses to stop is not asked twice", async () => {
    kilnd.world.behaviours = [{ refusesStop: true }];
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.stop(entry.id);
    assert.deepEqual(vmm.guest.calls, ["stop 15 10000"]);
    assert.equal(vmm.alive, false);
  });
});

describe("an agent that is only silent", () => {
  it("never fails its VM, however often the channel breaks", async () => {
    const { entry, vmm } = await kilnd.running();
    for (let count = 2; count < 30; count++) {
      vmm.guest.cut("the channel was closed");
      await eventually(() => vmm.guest.sessions === count);
    }
    assert.equal(entry.state, "running");
  });

  it("does not keep whoever sends a signal waiting", async () => {
    const { entry, vmm } = await kilnd.running();
    vmm.guest.silent = true;
    async function* input() {
      yield { kind: "signal" as const, signal: "TERM" };
      await new Promise<never>(() => undefined);
    }
    const reading = async () => {
      for await (const _ of kilnd.engine.vms.exec(entry.id, { kind: "start", spec: EXEC }, input()));
    };
    await assert.rejects(reading(), /^KilnError: exec in VM .*after a signal its guest gave no sign of life/);
  });
});

describe("a guest's clock", () => {
  const late = (vmm: FakeVmm) => Math.abs(vmm.guest.clockOffMs) > 1000;

  it("is right again after a pause, with the session that there was", async () => {
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.pause(entry.id);
    vmm.guest.clockOffMs = -3_600_000;
    await kilnd.engine.vms.unpause(entry.id);
    assert.equal(late(vmm), false);
  });

  it("is right again after a full disk and another kilnd", async () => {
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.pause(entry, { reason: "host-disk-full", message: "full" });
    await kilnd.next(HASTY);
    const found = kilnd.engine.entry(entry.id);
    assert.equal(found.state, "paused");
    vmm.guest.clockOffMs = -3_600_000;
    await kilnd.engine.vms.unpause(found.id);
    await eventually(() => !late(vmm));
  });

  it("is right again where its VMM stood still by itself", async () => {
    const { entry, vmm } = await kilnd.running();
    vmm.stall?.("no room");
    await eventually(() => entry.state === "paused");
    vmm.guest.clockOffMs = -3_600_000;
    vmm.stall?.(undefined);
    await eventually(() => !late(vmm));
  });

  // An unpause, and the session that opens because of it.
  it("is moved once where two see at the same time that it is wrong", async () => {
    const { entry, vmm } = await kilnd.running();
    vmm.guest.clockOffMs = -3_600_000;
    await Promise.all([entry.live?.goOn(), entry.live?.goOn()]);
    assert.equal(late(vmm), false);
  });

  it("is left alone where it may be right", () => {
    const ns = (ms: number) => BigInt(ms) * 1_000_000n;
    assert.equal(planStep({ askedMs: 1000, heardMs: 1010, guestNs: ns(1300) }), undefined);
    assert.equal(planStep({ askedMs: 1000, heardMs: 9000, guestNs: ns(1300) }), undefined);
    assert.equal(planStep({ askedMs: 10_000, heardMs: 10_010, guestNs: ns(3000) }), ns(7005));
    assert.equal(planStep({ askedMs: 10_000, heardMs: 10_000, guestNs: ns(13_000) }), ns(-3000));
  });
});
