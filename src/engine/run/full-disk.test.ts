// What can't be written down, on a disk without a free byte, keeps no VM from ending, rebooting or being taken over.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { createEngine } from "../../../test/fixtures/fake-rooms.js";
import { fillDisk, isStatus } from "../../../test/fixtures/patched-files.js";
import { deferred } from "../../base/runtime.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmState } from "../vm/state.js";

/** Until it is disposed of, no status can be written. */
let full: Disposable | undefined;
afterEach(async () => {
  full?.[Symbol.dispose]();
  full = undefined;
});
const kilnd = engineCase();

function fill(what = isStatus): void {
  full = fillDisk(what);
}

function giveRoom(): void {
  full?.[Symbol.dispose]();
  full = undefined;
}

const comesTo = (entry: VmEntry, state: VmState) =>
  until(entry.changed, () => entry.state === state || undefined);

async function told(entry: VmEntry): Promise<string[]> {
  const actions: string[] = [];
  for await (const { id, action } of kilnd.engine.events.read({ after: 0n, untilMs: Date.now() }))
    if (id === entry.id) actions.push(action);
  return actions;
}

describe("a VM whose state can't be written", () => {
  it("is stopped", async () => {
    const { entry } = await kilnd.running();
    fill();
    await kilnd.engine.vms.stop(entry.id);
    assert.deepEqual([entry.state, entry.status.exitCode], ["exited", 143]);
  });

  it("is killed", async () => {
    const { entry, vmm } = await kilnd.running();
    fill();
    await kilnd.engine.vms.kill(entry.id);
    assert.deepEqual([entry.state, vmm.alive], ["exited", false]);
  });

  it("is ended where its guest reboots, and can be started again", async () => {
    const { entry, vmm } = await kilnd.running();
    fill();
    vmm.guest.reboot();
    await comesTo(entry, "failed");
    await kilnd.engine.vms.stop(entry.id);
    giveRoom();
    await kilnd.engine.vms.start(entry.id);
    assert.equal(entry.state, "running");
  });

  it("is told of and shown as paused when it stands still for want of room, and when it goes on", async () => {
    const { entry, vmm } = await kilnd.running();
    fill();
    vmm.stall?.("no space left");
    await comesTo(entry, "paused");
    vmm.stall?.(undefined);
    await comesTo(entry, "running");
    await kilnd.engine.vms.stop(entry.id);
    assert.deepEqual((await told(entry)).slice(2), ["pause", "unpause", "die", "stop"]);
  });

  it("is paused and goes on by its user's word", async () => {
    const { entry, vmm } = await kilnd.running();
    fill();
    await kilnd.engine.vms.pause(entry.id);
    assert.deepEqual([entry.state, vmm.paused], ["paused", true]);
    await kilnd.engine.vms.unpause(entry.id);
    assert.deepEqual([entry.state, vmm.paused], ["running", false]);
    assert.deepEqual((await told(entry)).slice(2), ["pause", "unpause"]);
  });

  it("is brought back by its policy once there is room", async () => {
    const { entry, vmm } = await kilnd.running({ restart: { name: "always", maximumRetryCount: 0 } });
    fill();
    vmm.guest.exit(1);
    await until(entry.changed, () => entry.status.restartDelayMs >= 200 || undefined);
    giveRoom();
    await comesTo(entry, "running");
    assert.equal(kilnd.world.vmms.at(-1)?.alive, true);
  });
});

describe("a port of a VM whose record can't be written", () => {
  const port = { hostIp: "127.0.0.1", hostPort: 8080, vmPort: 80, protocol: "tcp" as const };
  const isRecord = (path: string) => path.includes("/vm.json");

  it("is not published where that it is can't be kept", async () => {
    const { entry } = await kilnd.running();
    fill(isRecord);
    await assert.rejects(kilnd.engine.vms.addPort(entry.id, port), /ENOSPC/);
    assert.deepEqual([[...kilnd.world.ports], entry.live?.ports.bindings], [[], []]);
    giveRoom();
    await kilnd.engine.vms.addPort(entry.id, port);
    assert.deepEqual([...kilnd.world.ports], ["8080->80"]);
  });

  it("stays published where that it is not can't be kept, and can be taken away later", async () => {
    const { entry } = await kilnd.running({ publish: [port] });
    fill(isRecord);
    await assert.rejects(kilnd.engine.vms.removePort(entry.id, port), /ENOSPC/);
    assert.deepEqual([...kilnd.world.ports], ["8080->80"]);
    giveRoom();
    await kilnd.engine.vms.removePort(entry.id, port);
    assert.deepEqual([[...kilnd.world.ports], entry.record.program.ports], [[], []]);
  });
});

describe("a kilnd that comes up on a full disk", () => {
  it("takes a VM over with its VMM and its ports", async () => {
    const port = { hostIp: "127.0.0.1", hostPort: 8080, vmPort: 80, protocol: "tcp" as const };
    const { entry: before } = await kilnd.running({ publish: [port] });
    await kilnd.engine.close();
    kilnd.world.ports.clear();
    kilnd.engine = createEngine(kilnd.world);
    const gate = deferred<void>();
    kilnd.world.reattachGate = gate.promise;
    await kilnd.engine.open();
    fill();
    gate.resolve();
    await kilnd.engine.recovered;
    const entry = kilnd.engine.entry(before.id);
    assert.deepEqual([entry.state, entry.status.reason, entry.live?.ports.bindings], ["running", "", [port]]);
    await kilnd.engine.vms.kill(entry.id);
    assert.deepEqual([...kilnd.world.ports], []);
  });

  it("brings up what its policy and its guest want", async () => {
    const { entry: kept } = await kilnd.running({ restart: { name: "always", maximumRetryCount: 0 } });
    const { entry: rebooting, vmm } = await kilnd.running();
    await kilnd.engine.close();
    for (const { guest } of kilnd.world.vmms) guest.cut("kilnd is gone");
    await rebooting.note({
      exit: { code: 0, error: "", oomKilled: false, request: "reboot", finishedAt: "" },
    });
    for (const one of kilnd.world.vmms) one.end("killed");
    assert.equal(vmm.alive, false);
    fill();
    await kilnd.open();
    await kilnd.engine.recovered;
    giveRoom();
    for (const { id } of [kept, rebooting]) await comesTo(kilnd.engine.entry(id), "running");
    assert.equal(kilnd.world.vmms.length, 4);
  });
});
