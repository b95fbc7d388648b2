// Each file of a VM damaged in every way, while nothing and while something runs: what runs goes on, and no VM is lost.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  type Damage,
  damageFile,
  missingFields,
  nonsenseFields,
  OTHER_RELEASE,
  UNREADABLE,
} from "../../test/fixtures/damage.js";
import { engineCase } from "../../test/fixtures/engine-case.js";
import { executed } from "../../test/fixtures/executed.js";
import { configOf } from "../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../base/errors.js";
import { silentLogger } from "../base/log.js";
import { vmRunDirectory } from "../base/paths.js";
import { OwnerMark } from "./host/owner-mark.js";
import type { VmEntry } from "./vm/entry.js";

let helpers: ChildProcess[];
const kilnd = engineCase();
beforeEach(async () => {
  helpers = [];
});
afterEach(async () => {
  for (const helper of helpers) helper.kill("SIGKILL");
});

async function make(running: boolean, name = "urn"): Promise<VmEntry> {
  const port = { hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" as const };
  const entry = await kilnd.engine.make({
    config: configOf({ name, labels: { a: "b" }, publish: [port] }),
    pull: "missing",
  });
  if (running) await kilnd.engine.vms.start(entry.id);
  return entry;
}

const pathOf = (id: string, file: string) => join(kilnd.world.root, "data/vms", id, file);

async function jsonOf(id: string, file: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(pathOf(id, file), "utf8"));
}

/** The next kilnd's view of the VM, after something was done to the files that the last one left. */
async function nextKilnd(id: string, between: () => Promise<void>): Promise<VmEntry> {
  await kilnd.engine.close();
  kilnd.world.ports.clear();
  await between();
  await kilnd.start();
  return kilnd.engine.entry(id);
}

/**
 * A process that looks like the VM's QEMU, in place of the fake that is none.
 *
 * @param marked false: as a release that marked none started it
 */
async function standIn(id: string, marked: boolean): Promise<number> {
  const directory = vmRunDirectory(join(kilnd.world.root, "run"), id);
  const mark = new OwnerMark();
  await mark.open(join(kilnd.world.root, "data"), silentLogger);
  const env = marked ? mark.environment(directory) : {};
  const helper = spawn("sh", ["-c", "read x", directory], {
    argv0: "qemu-system-x86_64",
    env,
    stdio: ["pipe", "ignore", "ignore"],
  });
  helpers.push(helper);
  return executed(helper, env);
}

async function assertRuns(entry: VmEntry, what: string): Promise<void> {
  assert.notEqual(entry.status.reason, "vmm-unreachable", what);
  await assertGoesOn(entry, what);
}

async function assertGoesOn(entry: VmEntry, what: string): Promise<void> {
  assert.equal(entry.state, "running", what);
  assert.equal(kilnd.world.vmms[0]?.alive, true, what);
  assert.equal(kilnd.world.vmms.length, 1, what);
  assert.ok(entry.live, what);
}

describe("damage to one file", () => {
  for (const file of ["vm.json", "status.json"]) {
    it(`${file}: a VM that runs goes on, and is the same VM`, async () => {
      const { id } = await make(true);
      const text = await readFile(pathOf(id, file), "utf8");
      const kinds = [...UNREADABLE, ...OTHER_RELEASE, ...missingFields(text), ...nonsenseFields(text)];
      assert.ok(kinds.length > 40, `${kinds.length}`);
      for (const damage of kinds) {
        const entry = await nextKilnd(id, async () => {
          // Each damage meets the file as it was.
          for (const suffix of ["", ".bak"]) await writeFile(pathOf(id, file) + suffix, text);
          await damageFile(pathOf(id, file), damage);
        });
        await assertRuns(entry, damage.what);
      }
    });

    it(`${file}: a VM that has ended is still there and starts`, async () => {
      for (const [index, damage] of UNREADABLE.entries()) {
        const { id } = await make(false, `urn-${index}`);
        const entry = await nextKilnd(id, () => damageFile(pathOf(id, file), damage));
        assert.deepEqual([entry.name, entry.state], [`urn-${index}`, "created"], damage.what);
        await kilnd.engine.vms.start(entry.id);
        assert.equal(entry.state, "running", damage.what);
        await kilnd.engine.vms.remove(entry.id, true);
      }
    });
  }

  it("the damaged file is put aside and the copy is in its place", async () => {
    const { id } = await make(false);
    const before = await readFile(pathOf(id, "vm.json"), "utf8");
    await nextKilnd(id, () => writeFile(pathOf(id, "vm.json"), "{ torn"));
    assert.equal(await readFile(pathOf(id, "vm.json"), "utf8"), before);
    assert.equal(await readFile(pathOf(id, "vm.json.damaged"), "utf8"), "{ torn");
  });

  it("a change by hand is taken over, into the copy too", async () => {
    const { id } = await make(false);
    const record = await jsonOf(id, "vm.json");
    const edited = { ...record, config: { ...(record.config as object), hostname: "by-hand" } };
    const entry = await nextKilnd(id, () => writeFile(pathOf(id, "vm.json"), JSON.stringify(edited)));
    assert.equal(entry.record.config.hostname, "by-hand");
    assert.deepEqual(await jsonOf(id, "vm.json.bak"), edited);
  });
});

describe("a file that is damaged", () => {
  it("is told of by its path, with what became of it", async () => {
    const { id } = await make(false);
    await nextKilnd(id, async () => {
      await rm(pathOf(id, "vm.json"));
      await mkdir(pathOf(id, "vm.json/kept"), { recursive: true });
    });
    const told = kilnd.world.logged.filter((line) => line.includes("a file is damaged"));
    assert.match(told.join(""), /^\S+ level=warn .* path=\S+vm\.json outcome="read from its copy" why=/);
    assert.equal((await stat(pathOf(id, "vm.json.damaged/kept"))).isDirectory(), true);
  });
});

describe("damage to a file and its copy", () => {
  it("vm.json: what runs goes on, is named after its id, and can be stopped and removed but not started", async () => {
    for (const damage of UNREADABLE) {
      kilnd.world.vmms.length = 0;
      const { id } = await make(true);
      const entry = await nextKilnd(id, () => damageFile(pathOf(id, "vm.json"), damage, true));
      await assertRuns(entry, damage.what);
      assert.equal(entry.name, `vm-${id.slice(0, 12)}`);
      assert.ok(
        (await kilnd.engine.system.info()).warnings.some((text) => text.includes(entry.name)),
        damage.what,
      );
      await kilnd.engine.vms.stop(entry.id);
      assert.equal(entry.state, "exited", damage.what);
      await assert.rejects(kilnd.engine.vms.start(entry.id), { reason: "record-damaged" });
      await kilnd.engine.vms.remove(entry.id, false);
      assert.deepEqual(kilnd.engine.entries(true), []);
    }
  });

  it("status.json: what runs is found by its process", async () => {
    for (const [index, damage] of UNREADABLE.entries()) {
      kilnd.world.vmms.length = 0;
      const { id } = await make(true);
      const pid = await standIn(id, index % 2 === 0);
      const entry = await nextKilnd(id, () => damageFile(pathOf(id, "status.json"), damage, true));
      await assertRuns(entry, damage.what);
      assert.equal(entry.status.vmm?.process.pid, pid);
      assert.match(entry.status.message, /its status was lost/);
      await kilnd.engine.vms.remove(entry.id, true);
    }
  });

  it("status.json: what was paused is shown as paused, and goes on", async () => {
    const { id } = await make(true);
    await kilnd.engine.vms.pause(id);
    await standIn(id, true);
    const [empty] = UNREADABLE;
    assert.ok(empty);
    const entry = await nextKilnd(id, () => damageFile(pathOf(id, "status.json"), empty, true));
    assert.equal(entry.state, "paused");
    await kilnd.engine.vms.unpause(entry.id);
    await assertRuns(entry, "gone on");
  });

  it("everything: what runs is shown as running, and `kill` and `rm` end it", async () => {
    const { id } = await make(true);
    await standIn(id, true);
    const entry = await nextKilnd(id, async () => {
      for (const file of ["vm.json", "status.json"])
        for (const suffix of ["", ".bak"]) await rm(pathOf(id, file) + suffix);
    });
    await assertRuns(entry, "all files gone");
    await kilnd.engine.vms.kill(entry.id);
    assert.equal(entry.state, "exited");
    await kilnd.engine.vms.remove(entry.id, false);
    assert.deepEqual(kilnd.engine.entries(true), []);
  });

  it("a status that says it has ended does not end what runs", async () => {
    const { id } = await make(true);
    await standIn(id, true);
    const ended: Damage = {
      what: "a status of yesterday",
      change: (text) => JSON.stringify({ ...JSON.parse(text), state: "exited", vmm: undefined }),
    };
    const entry = await nextKilnd(id, () => damageFile(pathOf(id, "status.json"), ended, true));
    await assertRuns(entry, ended.what);
  });

  it("status.json of a VM that does not run loses no VM", async () => {
    const { id } = await make(false);
    const [empty] = UNREADABLE;
    assert.ok(empty);
    const entry = await nextKilnd(id, () => damageFile(pathOf(id, "status.json"), empty, true));
    assert.deepEqual([entry.state, entry.status.reason], ["failed", "status-lost"]);
    await kilnd.engine.vms.start(entry.id);
    assert.equal(entry.state, "running");
  });
});

describe("files of other releases", () => {
  it("keep their unknown fields at every level, through a whole life", async () => {
    const { id } = await make(true);
    const [unknown] = OTHER_RELEASE;
    assert.ok(unknown);
    const entry = await nextKilnd(id, async () => {
      for (const file of ["vm.json", "status.json"]) await damageFile(pathOf(id, file), unknown);
    });
    const port = { hostIp: "", hostPort: 9090, vmPort: 90, protocol: "tcp" as const };
    await kilnd.engine.vms.addPort(entry.id, port);
    await kilnd.engine.vms.pause(entry.id);
    const record = await jsonOf(id, "vm.json");
    const status = await jsonOf(id, "status.json");
    const at = (json: unknown, ...path: string[]) =>
      path.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], json);
    for (const path of [[], ["config"], ["config", "restart"], ["config", "labels"], ["program"]]) {
      assert.equal(at(record, ...path, "ofTomorrow"), "kept", path.join("."));
    }
    for (const path of [[], ["vmm"], ["vmm", "capabilities"], ["vmm", "facts"], ["launch"], ["timings"]]) {
      assert.equal(at(status, ...path, "ofTomorrow"), "kept", path.join("."));
    }
    assert.equal((at(record, "program", "ports") as unknown[]).length, 2);
    assert.equal(status.state, "paused");
  });

  it("a record of a newer form runs on, is not written over, and is not started", async () => {
    const { id } = await make(true);
    const newer = OTHER_RELEASE[1];
    assert.ok(newer);
    const entry = await nextKilnd(id, () => damageFile(pathOf(id, "vm.json"), newer, true));
    await assertRuns(entry, "newer");
    const text = await readFile(pathOf(id, "vm.json"), "utf8");
    await assert.rejects(
      kilnd.engine.vms.addPort(entry.id, { hostIp: "", hostPort: 1, vmPort: 2, protocol: "tcp" }),
      {
        reason: "record-damaged",
      },
    );
    await kilnd.engine.vms.stop(entry.id);
    await assert.rejects(kilnd.engine.vms.start(entry.id), { reason: "record-damaged" });
    assert.equal(await readFile(pathOf(id, "vm.json"), "utf8"), text);
    assert.equal((await jsonOf(id, "status.json")).version, 1);
  });

  it("a status of a newer form is read and keeps its number", async () => {
    const { id } = await make(true);
    const newer = OTHER_RELEASE[1];
    assert.ok(newer);
    const entry = await nextKilnd(id, () => damageFile(pathOf(id, "status.json"), newer, true));
    await assertRuns(entry, "newer");
    await kilnd.engine.vms.pause(entry.id);
    const status = await jsonOf(id, "status.json");
    assert.deepEqual([status.state, status.version], ["paused", 1000]);
  });

  it("a state that only a newer kiln has is taken as running", async () => {
    const { id } = await make(true);
    const entry = await nextKilnd(id, () =>
      damageFile(
        pathOf(id, "status.json"),
        {
          what: "a new state",
          change: (text) => JSON.stringify({ ...JSON.parse(text), state: "snapshotting" }),
        },
        true,
      ),
    );
    await assertRuns(entry, "a new state");
  });
});

describe("what a running VM does not need", () => {
  it("its kernel and its base: without them it is taken over all the same", async () => {
    const { id } = await make(true);
    const entry = await nextKilnd(id, () => rm(join(kilnd.world.root, "data/bases"), { recursive: true }));
    await assertRuns(entry, "no base");
  });

  it("a VMM that can be spoken to: it is shown, and can be killed", async () => {
    const { id } = await make(true);
    kilnd.world.reattachError = new KilnError(Code.Unavailable, "no socket", {
      reason: "connection-refused",
    });
    const entry = await nextKilnd(id, async () => undefined);
    await assertGoesOn(entry, "unreachable");
    assert.equal(entry.status.reason, "vmm-unreachable");
    await kilnd.engine.vms.kill(entry.id);
    assert.deepEqual([entry.state, kilnd.world.vmms[0]?.alive], ["exited", false]);
  });

  it("a place for its output", async () => {
    const { id } = await make(true);
    const entry = await nextKilnd(id, async () => {
      await rm(pathOf(id, "log"), { recursive: true });
      await writeFile(pathOf(id, "log"), "in the way");
    });
    await assertRuns(entry, "no log");
  });
});
