// Verbs that come at the wrong moment: just before a guest's reboot, behind a start, behind a removal.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  configOf,
  createWorld,
  destroyWorld,
  type FakeVmm,
  startEngine,
  type World,
} from "../../../test/fixtures/fake-rooms.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { patchFiles } from "../../../test/fixtures/patched-files.js";
import { hasReason } from "../../base/errors.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmStatus } from "../vm/status.js";
import type { VmConfig } from "../vm/vm-config.js";

let world: World;
let engine: OpenEngine;
beforeEach(async () => {
  world = await createWorld();
  engine = await startEngine(world);
});
afterEach(async () => {
  await engine.close();
  await destroyWorld(world);
});

async function created(config: Partial<VmConfig> = {}): Promise<VmEntry> {
  return engine.make({ config: configOf(config), pull: "missing" });
}

async function running(config: Partial<VmConfig> = {}): Promise<{ entry: VmEntry; vmm: FakeVmm }> {
  const entry = await created(config);
  await engine.vms.start(entry.id);
  const vmm = world.vmms.at(-1);
  assert.ok(vmm);
  return { entry, vmm };
}

/** Runs `meanwhile` while the fact is being written down. */
function whileNoted(entry: VmEntry, fact: keyof VmStatus, meanwhile: () => Promise<unknown>): void {
  const { note } = entry;
  entry.note = async (facts, durable) => {
    await note.call(entry, facts, durable);
    if (!(fact in facts)) return;
    entry.note = note;
    await meanwhile();
  };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** What runs of a VM that must have ended: no VMM, and none that is about to come. */
function assertEnded(entry: VmEntry): void {
  assert.deepEqual(
    [entry.state, entry.run, world.vmms.filter(({ alive }) => alive)],
    ["exited", undefined, []],
  );
}

describe("a guest's reboot", () => {
  it("does not outrun a stop that has begun", async () => {
    const { entry, vmm } = await running();
    whileNoted(entry, "stoppedByUser", () => {
      vmm.guest.reboot();
      return until(entry.changed, () => entry.run?.stage !== "live" || undefined);
    });
    await engine.vms.stop(entry.id);
    assertEnded(entry);
  });

  for (const verb of ["stop", "remove"] as const) {
    it(`is none where a ${verb} comes while what ran is let go of`, async () => {
      const { entry, vmm } = await running();
      const { runDirectory } = vmm.spec;
      let ending: Promise<unknown> | undefined;
      using _ = patchFiles(({ rm }) => ({
        rm: async (path, options) => {
          await rm(path, options);
          if (path !== runDirectory || ending !== undefined) return;
          ending = verb === "stop" ? engine.vms.stop(entry.id) : engine.vms.remove(entry.id, true);
          while (entry.run?.intent === "run") await turn();
        },
      }));
      vmm.guest.reboot();
      while (ending === undefined) await turn();
      await ending;
      assertEnded(entry);
    });
  }
});

describe("a VM that is started", () => {
  it("is not removed by an rm that came while it did not run yet", async () => {
    const entry = await created();
    const starting = engine.vms.start(entry.id);
    assert.equal(entry.state, "created");
    const removing = engine.vms.remove(entry.id, false);
    await Promise.all([starting, assert.rejects(removing, (error) => hasReason(error, "vm-running"))]);
    assert.deepEqual([entry.state, world.vmms[0]?.alive], ["running", true]);
  });

  it("is not pruned, nor is one that its policy is about to bring back", async () => {
    const entry = await created();
    const { entry: failing, vmm } = await running({ restart: { name: "always", maximumRetryCount: 0 } });
    vmm.guest.exit(1);
    await until(failing.changed, () => failing.status.restartAt !== undefined || undefined);
    const starting = engine.vms.start(entry.id);
    const { vms } = await engine.system.prune(false, new Map());
    await starting;
    assert.deepEqual([vms, entry.state, failing.removing], [[], "running", false]);
    await engine.vms.stop(failing.id);
  });
});

describe("a VM that is removed", () => {
  it("is not started by who had found it before", async () => {
    const { entry } = await running();
    await engine.vms.stop(entry.id);
    const removing = engine.vms.remove(entry.id, false);
    const starting = engine.vms.start(entry.id);
    await Promise.all([removing, assert.rejects(starting, (error) => hasReason(error, "vm-not-found"))]);
    assert.deepEqual(await readdir(join(world.root, "data/vms")), []);
  });

  it("is changed by nobody who had found it before", async () => {
    const port = { hostIp: "127.0.0.1", hostPort: 8080, vmPort: 80, protocol: "tcp" as const };
    const entry = await created({ publish: [port] });
    const removing = engine.vms.remove(entry.id, false);
    const late = [
      () => engine.vms.setLifetime(entry.id, 60_000),
      () => engine.vms.addPort(entry.id, { ...port, hostPort: 8081 }),
      () => engine.vms.removePort(entry.id, port),
    ];
    const outcomes = late.map((verb) => assert.rejects(verb(), (error) => hasReason(error, "vm-not-found")));
    await Promise.all([removing, ...outcomes]);
    const done: string[] = [];
    for await (const { id, action } of engine.events.read({ after: 0n, untilMs: Date.now() }))
      if (id === entry.id) done.push(action);
    assert.deepEqual(done, ["create", "destroy"]);
  });

  it("is there as it was where the file system does not let it go, and can be removed later", async () => {
    const entry = await created({ name: "urn" });
    const directory = join(world.root, "data/vms", entry.id);
    const readOnly = patchFiles(({ rename }) => ({
      rename: async (from, to) => {
        if (from !== directory) return rename(from, to);
        throw Object.assign(new Error("EROFS: read-only file system, rename"), { code: "EROFS" });
      },
    }));
    await assert.rejects(engine.vms.remove(entry.id, false), /remove VM urn/);
    readOnly[Symbol.dispose]();
    const { bases } = await engine.system.prune(true, new Map([["label", ["none"]]]));
    assert.deepEqual([engine.entry("urn"), entry.removed, bases], [entry, false, []]);
    await engine.vms.remove(entry.id, false);
    assert.deepEqual([engine.entries(true), await readdir(join(world.root, "data/vms"))], [[], []]);
  });
});
