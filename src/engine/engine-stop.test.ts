import assert from "node:assert/strict";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import { hasReason, type KilnError } from "../base/errors.js";
import { deferred } from "../base/runtime.js";
import { until } from "./common/notifier.js";

const kilnd = engineCase();

describe("stop and kill", () => {
  it("asks the program with its own signal and time-out", async () => {
    kilnd.world.image = { ...kilnd.world.image, run: { ...kilnd.world.image.run, stopSignal: "SIGQUIT" } };
    const { entry, vmm } = await kilnd.running({ stopTimeoutMs: 1234 });
    await kilnd.engine.vms.stop(entry.id);
    assert.ok(vmm.guest.calls.includes("stop 3 1234"));
    assert.deepEqual([entry.state, entry.status.exitCode], ["exited", 131]);
  });

  it("takes a signal and a time-out of the moment", async () => {
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.stop(entry.id, { timeoutMs: 10, signal: "INT" });
    assert.ok(vmm.guest.calls.includes("stop 2 10"));
  });

  it("stops a paused VM", async () => {
    const { entry } = await kilnd.running();
    await kilnd.engine.vms.pause(entry.id);
    await kilnd.engine.vms.stop(entry.id);
    assert.equal(entry.state, "exited");
  });

  it("does nothing to a VM that does not run", async () => {
    const entry = await kilnd.create();
    await kilnd.engine.vms.stop(entry.id);
    assert.equal(entry.state, "created");
  });

  it("kills at once, also while a stop waits for a stubborn guest", async () => {
    kilnd.world.behaviours = [{ stubborn: true }];
    const { entry, vmm } = await kilnd.running();
    const stopping = kilnd.engine.vms.stop(entry.id, { timeoutMs: 60_000 });
    while (entry.state !== "stopping") await entry.changed.next();
    await kilnd.engine.vms.kill(entry.id);
    await stopping;
    assert.equal(vmm.alive, false);
    assert.deepEqual([entry.state, entry.status.exitCode, entry.status.reason], ["exited", 137, "killed"]);
  });

  it("removes by force at once, too, while a stop waits for a stubborn guest", async () => {
    kilnd.world.behaviours = [{ stubborn: true }];
    const { entry, vmm } = await kilnd.running();
    const stopping = kilnd.engine.vms.stop(entry.id, { timeoutMs: 60_000 });
    while (entry.state !== "stopping") await entry.changed.next();
    await kilnd.engine.vms.remove(entry.id, true);
    await stopping;
    assert.deepEqual([vmm.alive, entry.removed], [false, true]);
  });

  it("waits for a day at most where it is told to wait for weeks", async () => {
    kilnd.world.behaviours = [{ stubborn: true }];
    const { entry, vmm } = await kilnd.running();
    const stopping = kilnd.engine.vms.stop(entry.id, { timeoutMs: 2 ** 32 - 1 });
    while (entry.state !== "stopping") await entry.changed.next();
    const { signal, timeoutMs } = entry.status.stop ?? {};
    assert.deepEqual([signal, timeoutMs], [15, 24 * 3_600_000], "the next kilnd knows as much");
    await kilnd.engine.vms.kill(entry.id);
    assert.ok(vmm.guest.calls.includes(`stop 15 ${24 * 3_600_000}`), vmm.guest.calls.join());
    await stopping;
  });

  it("kills a paused VM", async () => {
    const { entry } = await kilnd.running();
    await kilnd.engine.vms.pause(entry.id);
    await kilnd.engine.vms.kill(entry.id);
    assert.equal(entry.state, "exited");
  });

  it("refuses to kill what does not run", async () => {
    const entry = await kilnd.create();
    await assert.rejects(kilnd.engine.vms.kill(entry.id), (error) => hasReason(error, "vm-created"));
  });

  it("gives a start up that is under way", async () => {
    const gate = deferred<void>();
    kilnd.world.launchGate = gate.promise;
    const entry = await kilnd.create();
    const starting = kilnd.engine.vms.start(entry.id);
    while (entry.state !== "starting") await entry.changed.next();
    const stopping = kilnd.engine.vms.stop(entry.id);
    gate.resolve();
    await assert.rejects(starting);
    await stopping;
    assert.deepEqual([entry.state, entry.status.reason], ["exited", "killed"]);
    assert.ok(kilnd.world.vmms.every((vmm) => !vmm.alive));
  });

  it("sends other signals to the program", async () => {
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.signal(entry.id, "USR1");
    assert.ok(vmm.guest.calls.includes("signal 10"));
    assert.equal(entry.state, "running");
  });
});

describe("pause", () => {
  it("stops the guest and lets it go on", async () => {
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.pause(entry.id);
    assert.deepEqual([entry.state, vmm.paused], ["paused", true]);
    await kilnd.engine.vms.unpause(entry.id);
    assert.deepEqual([entry.state, vmm.paused], ["running", false]);
  });

  it("keeps exec out with a word that says what to do", async () => {
    const { entry } = await kilnd.running();
    await kilnd.engine.vms.pause(entry.id);
    const spec = {
      args: ["ls"],
      env: [],
      user: "",
      workdir: "",
      tty: false,
      stdin: false,
      columns: 0,
      rows: 0,
      detach: false,
      id: "",
    };
    await assert.rejects(
      kilnd.engine.vms.exec(entry.id, { kind: "start", spec }, nothing()).next(),
      (error) => {
        return hasReason(error, "vm-paused") && /unpause/.test((error as KilnError).hint ?? "");
      },
    );
  });

  it("shows a VM that its VMM stopped at a full disk as paused, and as running when it goes on", async () => {
    const { entry, vmm } = await kilnd.running();
    vmm.stall?.("no space left");
    await until(entry.changed, () => entry.state === "paused" || undefined);
    assert.deepEqual([entry.status.reason, entry.status.message], ["host-disk-full", "no space left"]);
    vmm.stall?.(undefined);
    await until(entry.changed, () => entry.state === "running" || undefined);
    assert.equal(entry.status.reason, "");
  });
});

describe("a host's disk that fills", () => {
  it("stops running guests before their writes fail, and lets them go on, but not those that a user paused", async () => {
    await kilnd.next({ hostWatchMs: 5 });
    // The watch does not keep a process alive by itself.
    const alive = setInterval(() => undefined, 1000);
    const { entry } = await kilnd.running();
    const other = await kilnd.running();
    await kilnd.engine.vms.pause(other.entry.id);
    kilnd.world.freeDisk = 1000;
    await until(entry.changed, () => entry.state === "paused" || undefined);
    assert.equal(entry.status.reason, "host-disk-full");
    const warned = kilnd.world.logged.filter((line) =>
      line.includes("the VM is stopped: the host's disk is full"),
    );
    assert.equal(warned.length, 1, "a user's pause is no stall");
    assert.match(warned[0] ?? "", new RegExp(`level=warn .*vm=${entry.shortId} why="only 1kB`));
    kilnd.world.freeDisk = 1e12;
    await until(entry.changed, () => entry.state === "running" || undefined);
    clearInterval(alive);
    assert.deepEqual([other.entry.state, other.entry.status.reason], ["paused", ""]);
  });
});

describe("a host's disk that fills while a verb holds a VM", () => {
  const alive = setInterval(() => undefined, 1000);
  after(() => clearInterval(alive));

  it("stops all others and lets them go on, and that one is left alone where it is late", async () => {
    await kilnd.next({ hostWatchMs: 5 });
    const { entry: held } = await kilnd.running();
    const { entry } = await kilnd.running();
    const gate = deferred<void>();
    const holding = held.locked(() => gate.promise);
    kilnd.world.freeDisk = 1000;
    await until(entry.changed, () => entry.state === "paused" || undefined);
    assert.equal(held.state, "running");
    kilnd.world.freeDisk = 1e12;
    await until(entry.changed, () => entry.state === "running" || undefined);
    gate.resolve();
    await holding;
    await held.locked(async () => undefined);
    assert.equal(held.state, "running");
  });

  it("stops that one at its turn, and takes no user's pause for its own", async () => {
    await kilnd.next({ hostWatchMs: 5 });
    const { entry: held } = await kilnd.running();
    const { entry } = await kilnd.running();
    const gate = deferred<void>();
    const holding = held.locked(() => gate.promise);
    kilnd.world.freeDisk = 1000;
    await until(entry.changed, () => entry.state === "paused" || undefined);
    gate.resolve();
    await holding;
    await until(held.changed, () => held.state === "paused" || undefined);
    const again = deferred<void>();
    const waiting = held.locked(() => again.promise);
    const unpaused = kilnd.engine.vms.unpause(held.id);
    const paused = kilnd.engine.vms.pause(held.id);
    kilnd.world.freeDisk = 1e12;
    await until(entry.changed, () => entry.state === "running" || undefined);
    again.resolve();
    await Promise.all([waiting, unpaused, paused]);
    await held.locked(async () => undefined);
    assert.deepEqual([held.state, held.status.reason], ["paused", ""]);
  });
});

describe("rm", () => {
  it("refuses a running VM unless forced", async () => {
    const { entry, vmm } = await kilnd.running();
    await assert.rejects(kilnd.engine.vms.remove(entry.id, false), (error) => hasReason(error, "vm-running"));
    await kilnd.engine.vms.remove(entry.id, true);
    assert.equal(vmm.alive, false);
    await assert.rejects(access(join(kilnd.world.root, "data/vms", entry.id)));
    assert.throws(
      () => kilnd.engine.entry(entry.name),
      (error) => hasReason(error, "vm-not-found"),
    );
  });

  it("frees the name", async () => {
    const entry = await kilnd.create({ name: "urn" });
    await assert.rejects(kilnd.create({ name: "urn" }), (error) => hasReason(error, "name-in-use"));
    await kilnd.engine.vms.remove(entry.id, false);
    assert.equal((await kilnd.create({ name: "urn" })).name, "urn");
  });
});

function nothing(): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }) };
}
