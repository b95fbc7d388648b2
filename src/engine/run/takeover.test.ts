import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { createFakeRooms, type FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../../base/errors.js";
import { deferred, delay } from "../../base/runtime.js";
import { Phase } from "../../gen/kiln/agent/v1/machine_pb.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmStatus } from "../vm/status.js";
import type { VmConfig } from "../vm/vm-config.js";

const SILENT = new KilnError(Code.DeadlineExceeded, "QEMU did not answer", { reason: "qmp-silent" });
const PATIENT = { atOnce: 8, attemptMs: 60_000, pauses: { first: 1, longest: 4 } };

afterEach(async () => {
  kilnd.world.reattachError = undefined;
});
const kilnd = engineCase();

async function running(config: Partial<VmConfig> = {}): Promise<{ id: string; vmm: FakeVmm }> {
  const entry = await kilnd.create(config);
  await kilnd.engine.vms.start(entry.id);
  const vmm = kilnd.world.vmms.at(-1);
  assert.ok(vmm);
  return { id: entry.id, vmm };
}

/** The next kilnd, whose takeovers are still under way. */
async function nextKilnd(takeover = PATIENT): Promise<void> {
  await kilnd.engine.close();
  kilnd.world.ports.clear();
  await kilnd.open({ takeover });
}

const reached = (entry: VmEntry) =>
  until(entry.changed, () => (entry.status.reason === "vmm-unreachable" ? undefined : true));

async function textOf(entry: VmEntry): Promise<string> {
  let text = "";
  for await (const { data } of entry.log.read()) text += Buffer.from(data).toString();
  return text;
}

describe("a VMM that answers a new kilnd late", () => {
  it("is asked again: output, ports and exit go on", async () => {
    const port = { hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" as const };
    const { id, vmm } = await running({ publish: [port] });
    kilnd.world.reattachError = SILENT;
    await nextKilnd();
    await kilnd.engine.recovered;
    const entry = kilnd.engine.entry(id);
    assert.deepEqual([entry.state, entry.status.reason], ["running", "vmm-unreachable"]);
    vmm.guest.print("meanwhile\n");
    kilnd.world.reattachError = undefined;
    await reached(entry);
    assert.deepEqual(
      [entry.state, entry.status.message, [...kilnd.world.ports]],
      ["running", "", ["8080->80"]],
    );
    vmm.guest.exit(5);
    await kilnd.engine.reached(entry, "exited");
    assert.deepEqual([entry.status.exitCode, entry.status.reason], [5, "program-exited"]);
    assert.equal(await textOf(entry), "meanwhile\n");
  });

  it("tells of a full disk once it is reached", async () => {
    const { id, vmm } = await running();
    kilnd.world.reattachError = SILENT;
    await nextKilnd();
    await kilnd.engine.recovered;
    const entry = kilnd.engine.entry(id);
    kilnd.world.reattachError = undefined;
    await reached(entry);
    vmm.stall?.("the host's disk is full");
    await until(entry.changed, () => (entry.state === "paused" ? true : undefined));
    vmm.stall?.(undefined);
    await until(entry.changed, () => (entry.state === "running" ? true : undefined));
  });

  it("holds nothing up for longer than an attempt may take", async () => {
    const { id, vmm } = await running();
    const gate = deferred<void>();
    kilnd.world.reattachGate = gate.promise;
    await nextKilnd({ ...PATIENT, attemptMs: 5 });
    await kilnd.engine.recovered;
    const entry = kilnd.engine.entry(id);
    assert.match(entry.status.message, /did not answer within/);
    kilnd.world.reattachGate = undefined;
    gate.resolve();
    await reached(entry);
    vmm.guest.exit(0);
    await kilnd.engine.reached(entry, "exited");
    assert.equal(entry.status.reason, "program-exited");
  });

  it("is seen to end while it is only watched", async () => {
    const { id, vmm } = await running();
    kilnd.world.reattachError = SILENT;
    await nextKilnd();
    await kilnd.engine.recovered;
    vmm.end("crashed");
    await kilnd.engine.reached(kilnd.engine.entry(id), "exited");
    assert.equal(kilnd.engine.entry(id).status.reason, "vmm-died");
  });
});

describe("a VM whose stored output is lost while no kilnd runs", () => {
  it("goes on, what it says from then on is stored, and what is lost is told", async () => {
    const { id, vmm } = await running();
    const log = join(kilnd.world.root, "data/vms", id, "log");
    vmm.guest.print("before ");
    while (vmm.guest.acknowledged < 7n) await new Promise<void>((resolve) => setImmediate(resolve));
    await kilnd.engine.close();
    await rm(log, { recursive: true });
    await writeFile(log, "in its place");
    await nextKilnd();
    vmm.guest.print("after");
    vmm.guest.exit(0);
    const entry = kilnd.engine.entry(id);
    await kilnd.engine.reached(entry, "exited");
    assert.equal(await textOf(entry), "after");
    assert.match(kilnd.world.logged.join(""), /level=warn .*stored is not on disk any more.* bytes=7/);
  });
});

describe("a VM that the last kilnd was stopping", () => {
  async function cutStop(id: string, facts: Partial<VmStatus> = {}): Promise<void> {
    await kilnd.engine.entry(id).change({ to: "stopping" }, { stoppedByUser: true, ...facts });
    await nextKilnd();
  }

  it("is stopped by the next one, with the VM's own signal and time-out", async () => {
    const { id, vmm } = await running({
      stopTimeoutMs: 1234,
      restart: { name: "always", maximumRetryCount: 0 },
    });
    await cutStop(id);
    const entry = kilnd.engine.entry(id);
    await kilnd.engine.reached(entry, "exited");
    assert.ok(vmm.guest.calls.includes("stop 15 1234"), vmm.guest.calls.join());
    assert.deepEqual([entry.status.exitCode, entry.status.restartAt, vmm.alive], [143, undefined, false]);
  });

  it("is given the signal and the time that its user has named, as much as is left of it", async () => {
    const { id, vmm } = await running({ stopTimeoutMs: 1234 });
    const until = new Date(Date.now() + 600_000).toISOString();
    await cutStop(id, { stop: { signal: 2, timeoutMs: 500_000, until } });
    const entry = kilnd.engine.entry(id);
    await kilnd.engine.reached(entry, "exited");
    assert.ok(vmm.guest.calls.includes("stop 2 500000"), vmm.guest.calls.join());
    assert.equal(entry.status.stop, undefined);
  });

  it("is given no more time where that is over", async () => {
    const { id, vmm } = await running();
    await cutStop(id, { stop: { signal: 2, timeoutMs: 500_000, until: new Date(0).toISOString() } });
    await kilnd.engine.reached(kilnd.engine.entry(id), "exited");
    assert.ok(vmm.guest.calls.includes("stop 2 0"), vmm.guest.calls.join());
  });

  it("is stopped where its VMM answers late", async () => {
    const { id } = await running();
    kilnd.world.reattachError = SILENT;
    await cutStop(id);
    await kilnd.engine.recovered;
    kilnd.world.reattachError = undefined;
    await kilnd.engine.reached(kilnd.engine.entry(id), "exited");
    assert.equal(kilnd.engine.entry(id).status.exitCode, 143);
  });

  it("has ended of its lifetime where that is over", async () => {
    const { id } = await running();
    await cutStop(id, { expiresAt: new Date(0).toISOString() });
    await kilnd.engine.reached(kilnd.engine.entry(id), "exited");
    assert.equal(kilnd.engine.entry(id).status.reason, "lifetime-over");
  });
});

describe("a VM that is being taken over", () => {
  for (const verb of ["kill", "remove"] as const) {
    it(`is ended by ${verb}, without its VMM having answered`, async () => {
      const { id, vmm } = await running();
      const gate = deferred<void>();
      kilnd.world.reattachGate = gate.promise;
      await nextKilnd();
      const entry = kilnd.engine.entry(id);
      while (kilnd.world.reattaching === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      await (verb === "kill" ? kilnd.engine.vms.kill(entry.id) : kilnd.engine.vms.remove(entry.id, true));
      assert.equal(vmm.alive, false);
      assert.equal(verb === "kill" ? entry.status.reason : entry.removed, verb === "kill" ? "killed" : true);
      gate.resolve();
    });
  }

  it("goes on with its boot, though the VMMs of all others hang", async () => {
    const hanging = new Set([(await running({ name: "hangs" })).id]);
    const { id, vmm } = await running({ name: "boots" });
    await kilnd.engine.close();
    vmm.guest.phase = Phase.WAITING;
    const path = join(kilnd.world.root, "data/vms", id, "status.json");
    const { startedAt: _at, ...status } = JSON.parse(await readFile(path, "utf8"));
    for (const file of [path, `${path}.bak`])
      await writeFile(file, JSON.stringify({ ...status, state: "starting" }));
    const rooms = createFakeRooms(kilnd.world);
    const driver = rooms.vmms.driver("qemu");
    const reattach: typeof driver.reattach = async (record, spec, options) => {
      if (hanging.has(spec.vmId)) return new Promise(() => undefined);
      // As a real one, it answers a moment later.
      await delay(20);
      return driver.reattach(record, spec, options);
    };
    const hold: typeof rooms.vmms.hold = async (...args) => {
      const held = await rooms.vmms.hold(...args);
      return held && { ...held, dialChannel: () => Promise.reject(SILENT) };
    };
    const vmms = { ...rooms.vmms, driver: () => ({ ...driver, reattach }), hold };
    await kilnd.open({ takeover: { ...PATIENT, atOnce: 1, attemptMs: 500 } }, { ...rooms, vmms });
    const entry = kilnd.engine.entry(id);
    await until(entry.changed, () => entry.state !== "starting" || undefined);
    assert.deepEqual([entry.state, entry.status.reason, vmm.alive], ["running", "", true]);
  });

  it("waits its turn: few VMMs are asked at the same time", async () => {
    for (let count = 0; count < 12; count++) await running({ name: `vm-${count}` });
    const gate = deferred<void>();
    kilnd.world.reattachGate = gate.promise;
    await nextKilnd({ ...PATIENT, atOnce: 3 });
    const waiting = kilnd.engine.entries(true);
    while (kilnd.world.reattaching < 3) await new Promise<void>((resolve) => setImmediate(resolve));
    // One that is still in the queue can be ended as well.
    const last = waiting.find((entry) => entry.name === "vm-11");
    assert.ok(last);
    await kilnd.engine.vms.kill(last.id);
    assert.equal(kilnd.world.reattaching, 3);
    gate.resolve();
    await kilnd.engine.recovered;
    assert.equal(kilnd.engine.entries(false).filter((entry) => entry.live !== undefined).length, 11);
  });
});
