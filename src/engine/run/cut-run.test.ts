import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { deferred } from "../../base/runtime.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { ReportedExit } from "../vm/status.js";

// What a kilnd leaves that is killed between two writes of a run's end, or while its guest reboots.

const kilnd = engineCase();

const exitOf = (request: ReportedExit["request"], code = 0): ReportedExit => ({
  ...{ code, request, error: "", oomKilled: false, finishedAt: "2026-01-01T00:00:00.000Z" },
});

/** The status on disk as the kilnd that has just gone would have left it. */
async function editStatus({ id }: VmEntry, change: Record<string, unknown>): Promise<void> {
  const path = join(kilnd.world.root, "data/vms", id, "status.json");
  const text = JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...change });
  for (const file of [path, `${path}.bak`]) await writeFile(file, text);
}

const runs = (entry: VmEntry) =>
  until(entry.changed, () => (entry.state === "running" && entry.live !== undefined) || undefined);

describe("a run whose end is on record", () => {
  it("has that end also where its VMM goes only once the next kilnd has it, and says nothing more", async () => {
    const { entry, vmm } = await kilnd.running({ restart: { name: "on-failure", maximumRetryCount: 1 } });
    await kilnd.engine.close();
    await editStatus(entry, { exit: exitOf("none", 7) });
    // It has been let go of: it settles its disks and answers nobody any more.
    Object.assign(vmm.guest, { behaviour: { hangs: true } });
    await kilnd.start();
    const next = kilnd.engine.entry(entry.id);
    assert.equal(next.state, "running");
    vmm.end("guest-shutdown");
    await kilnd.engine.reached(next, "exited");
    assert.deepEqual([next.status.exitCode, next.status.reason], [7, "program-exited"]);
    await runs(next);
    assert.equal(next.status.restartCount, 1, "a failure is one for its policy");
  });

  it("goes on as the reboot that it was, of a --rm VM too", async () => {
    const { entry, vmm } = await kilnd.running({ autoRemove: true });
    await kilnd.engine.close();
    await editStatus(entry, { exit: exitOf("reboot") });
    vmm.end("guest-reset");
    await kilnd.start();
    const next = kilnd.engine.entry(entry.id);
    await runs(next);
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), [entry.id]);
    assert.equal(kilnd.world.vmms.length, 2);
  });
});

describe("a start that nobody waits for", () => {
  for (const way of ["reboot", "policy"] as const) {
    it(`is gone on with by the next kilnd where it is a ${way}'s and was cut before its VMM was known`, async () => {
      const { entry, vmm } = await kilnd.running(
        way === "policy" ? { restart: { name: "on-failure", maximumRetryCount: 1 } } : {},
      );
      // Its kilnd never comes any further.
      const asked = deferred<void>();
      Object.defineProperty(kilnd.world, "launchGate", {
        configurable: true,
        get: () => {
          asked.resolve();
          return new Promise(() => undefined);
        },
      });
      if (way === "reboot") vmm.guest.reboot();
      else vmm.guest.exit(3);
      await asked.promise;
      await kilnd.engine.close();
      Object.defineProperty(kilnd.world, "launchGate", { value: undefined });
      await kilnd.start();
      const next = kilnd.engine.entry(entry.id);
      await runs(next);
      assert.equal(next.status.restartCount, way === "policy" ? 1 : 0);
    });
  }
});
