// Verbs that come at the wrong moment: just before a guest's reboot, behind a start, behind a removal.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { patchFiles } from "../../../test/fixtures/patched-files.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmStatus } from "../vm/status.js";

const kilnd = engineCase();

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
    [entry.state, entry.run, kilnd.world.vmms.filter(({ alive }) => alive)],
    ["exited", undefined, []],
  );
}

describe("a guest's reboot", () => {
  it("does not outrun a stop that has begun", async () => {
    const { entry, vmm } = await kilnd.running();
    whileNoted(entry, "stoppedByUser", () => {
      vmm.guest.reboot();
      return until(entry.changed, () => entry.run?.stage !== "live" || undefined);
    });
    await kilnd.engine.vms.stop(entry.id);
    assertEnded(entry);
  });

  for (const verb of ["stop", "remove"] as const) {
    it(`is none where a ${verb} comes while what ran is let go of`, async () => {
      const { entry, vmm } = await kilnd.running();
      const { runDirectory } = vmm.spec;
      let ending: Promise<unknown> | undefined;
      using _ = patchFiles(({ rm }) => ({
        rm: async (path, options) => {
          await rm(path, options);
          if (path !== runDirectory || ending !== undefined) return;
          ending =
            verb === "stop" ? kilnd.engine.vms.stop(entry.id) : kilnd.engine.vms.remove(entry.id, true);
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
    const entry = await kilnd.create();
    const starting = kilnd.engine.vms.start(entry.id);
    assert.equal(entry.state, "created");
    const removing = kilnd.engine.vms.remove(entry.id, false);
    await Promise.all([starting, assert.rejects(removing, (error) => hasReason(error, "vm-running"))]);
    assert.deepEqual([entry.state, kilnd.world.vmms[0]?.alive], ["running", true]);
  });

  it("is not pruned, nor is one that its policy is about to bring back", async () => {
    const entry = await kilnd.create();
    const { entry: failing, vmm } = await kilnd.running({
      restart: { name: "always", maximumRetryCount: 0 },
    });
    vmm.guest.exit(1);
    await until(failing.changed, () => failing.status.restartAt !== undefined || undefined);
    const starting = kilnd.engine.vms.start(entry.id);
    const { vms } = await kilnd.engine.system.prune(false, new Map());
    await starting;
    assert.deepEqual([vms, entry.state, failing.removing], [[], "running", false]);
    await kilnd.engine.vms.stop(failing.id);
  });
});

describe("a --rm VM that has been stopped", () => {
  it("is not removed under who has started it again meanwhile, but at its next end", async () => {
    const { entry } = await kilnd.running({ autoRemove: true });
    const stopping = kilnd.engine.vms.stop(entry.id);
    await until(entry.changed, () => entry.state === "stopping" || undefined);
    await Promise.all([stopping, kilnd.engine.vms.start(entry.id)]);
    // Behind whatever waits for the VM's turn.
    await kilnd.engine.vms.pause(entry.id);
    assert.deepEqual([entry.removing, kilnd.world.vmms.at(-1)?.alive], [false, true]);
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), [entry.id]);
    await kilnd.engine.vms.stop(entry.id);
    await kilnd.engine.reached(entry, "removed");
  });

  it("is there again after a restart, and goes where that fails", async () => {
    const { entry } = await kilnd.running({ autoRemove: true });
    await kilnd.engine.vms.restart(entry.id);
    assert.deepEqual([entry.state, entry.removing], ["running", false]);
    kilnd.world.launchError = new KilnError(Code.Unavailable, "no VMM", { reason: "vmm-failed" });
    await assert.rejects(kilnd.engine.vms.restart(entry.id), /no VMM/);
    await kilnd.engine.reached(entry, "removed");
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), []);
  });
});

describe("a VM that is removed", () => {
  it("is not started by who had found it before", async () => {
    const { entry } = await kilnd.running();
    await kilnd.engine.vms.stop(entry.id);
    const removing = kilnd.engine.vms.remove(entry.id, false);
    const starting = kilnd.engine.vms.start(entry.id);
    await Promise.all([removing, assert.rejects(starting, (error) => hasReason(error, "vm-not-found"))]);
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), []);
  });

  it("is changed by nobody who had found it before", async () => {
    const port = { hostIp: "127.0.0.1", hostPort: 8080, vmPort: 80, protocol: "tcp" as const };
    const entry = await kilnd.create({ publish: [port] });
    const removing = kilnd.engine.vms.remove(entry.id, false);
    const late = [
      () => kilnd.engine.vms.setLifetime(entry.id, 60_000),
      () => kilnd.engine.vms.addPort(entry.id, { ...port, hostPort: 8081 }),
      () => kilnd.engine.vms.removePort(entry.id, port),
    ];
    const outcomes = late.map((verb) => assert.rejects(verb(), (error) => hasReason(error, "vm-not-found")));
    await Promise.all([removing, ...outcomes]);
    const done: string[] = [];
    for await (const { id, action } of kilnd.engine.events.read({ after: 0n, untilMs: Date.now() }))
      if (id === entry.id) done.push(action);
    assert.deepEqual(done, ["create", "destroy"]);
  });

  it("is there as it was where the file system does not let it go, and can be removed later", async () => {
    const entry = await kilnd.create({ name: "urn" });
    const directory = join(kilnd.world.root, "data/vms", entry.id);
    const readOnly = patchFiles(({ rename }) => ({
      rename: async (from, to) => {
        if (from !== directory) return rename(from, to);
        throw Object.assign(new Error("EROFS: read-only file system, rename"), { code: "EROFS" });
      },
    }));
    await assert.rejects(kilnd.engine.vms.remove(entry.id, false), /remove VM urn/);
    readOnly[Symbol.dispose]();
    const { bases } = await kilnd.engine.system.prune(true, new Map([["label", ["none"]]]));
    assert.deepEqual([kilnd.engine.entry("urn"), entry.removed, bases], [entry, false, []]);
    await kilnd.engine.vms.remove(entry.id, false);
    assert.deepEqual(
      [kilnd.engine.entries(true), await readdir(join(kilnd.world.root, "data/vms"))],
      [[], []],
    );
  });
});
