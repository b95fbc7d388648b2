import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { executed } from "../../../test/fixtures/executed.js";
import { createWorld, destroyWorld, startEngine, type World } from "../../../test/fixtures/fake-rooms.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { silentLogger } from "../../base/log.js";
import { vmRunDirectory } from "../../base/paths.js";
import { identifyProcess } from "../../base/processes.js";
import { writeProcessRecord } from "../../vmm/index.js";
import type { VmEntry } from "../vm/entry.js";
import { OwnerMark } from "./owner-mark.js";
import { markOf, markRunDirectory } from "./run-directories.js";

let helpers: ChildProcess[];
const kilnd = engineCase();
beforeEach(async () => {
  helpers = [];
});
afterEach(async () => {
  for (const helper of helpers) helper.kill("SIGKILL");
});

const runRoot = () => join(kilnd.world.root, "run");
const qmpOf = (id: string) => join(vmRunDirectory(runRoot(), id), "qmp.sock");

/** A VM that runs, with a process in its VMM's place, which bears the mark of `markedFor` (default: its own id). */
async function running(markedFor?: string): Promise<{ entry: VmEntry; vmm: ChildProcess }> {
  const entry = await kilnd.create();
  await kilnd.engine.vms.start(entry.id);
  await writeFile(qmpOf(entry.id), "");
  const mark = new OwnerMark();
  await mark.open(join(kilnd.world.root, "data"), silentLogger);
  const env = mark.environment(vmRunDirectory(runRoot(), markedFor ?? entry.id));
  const vmm = spawn("/bin/sh", ["-c", "read x"], { env, stdio: ["pipe", "ignore", "ignore"] });
  helpers.push(vmm);
  await executed(vmm, env);
  return { entry, vmm };
}

/** The next kilnd's view of the VM. */
async function nextKilnd(id: string, change: () => object): Promise<VmEntry> {
  await kilnd.engine.close();
  for (const suffix of ["", ".bak"]) {
    const path = join(kilnd.world.root, "data/vms", id, `status.json${suffix}`);
    const status = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    await writeFile(path, JSON.stringify({ ...status, ...change() }));
  }
  await kilnd.start();
  return kilnd.engine.entry(id);
}

async function assertUntouched(entry: VmEntry, vmm: ChildProcess, what: string): Promise<void> {
  assert.equal(entry.state, "running", what);
  assert.ok(entry.live, what);
  assert.equal(vmm.exitCode ?? vmm.signalCode, null, what);
  await access(qmpOf(entry.id));
}

describe("the run directory of a VM that runs", () => {
  it("is found by the VM's id, whatever its status says", async () => {
    const { entry, vmm } = await running();
    for (const runDirectory of ["/x", "", "v", "/tmp", vmRunDirectory("/nowhere", entry.id)]) {
      const launch = { runDirectory, at: "" };
      await assertUntouched(await nextKilnd(entry.id, () => ({ launch })), vmm, runDirectory);
    }
    await assertUntouched(await nextKilnd(entry.id, () => ({ launch: undefined })), vmm, "no launch");
    assert.deepEqual((await kilnd.engine.system.diskUsage()).leaks, []);
  });

  it("stays where it was launched by another path to it", async () => {
    const { entry, vmm } = await running();
    await symlink(kilnd.world.root, join(kilnd.world.root, "alias"));
    const runDirectory = vmRunDirectory(join(kilnd.world.root, "alias/run"), entry.id);
    const next = await nextKilnd(entry.id, () => ({ launch: { runDirectory, at: "" } }));
    await assertUntouched(next, vmm, runDirectory);
    assert.deepEqual((await kilnd.engine.system.diskUsage()).leaks, []);
  });

  it("is the one on record where the run root has been moved since", async () => {
    const { entry, vmm } = await running();
    const before = vmRunDirectory(join(kilnd.world.root, "before"), entry.id);
    const next = await nextKilnd(entry.id, () => ({ launch: { runDirectory: before, at: "" } }));
    await assertUntouched(next, vmm, "not there");
    await kilnd.engine.close();
    await rename(runRoot(), join(kilnd.world.root, "before"));
    await kilnd.start();
    assert.equal(kilnd.engine.entry(entry.id).state, "running");
    await access(join(before, "qmp.sock"));
  });
});

describe("a VMM on record of a VM that runs", () => {
  it("is not ended, whatever VM its mark names", async () => {
    const { entry, vmm } = await running("ab".repeat(32));
    const process = await identifyProcess(vmm.pid ?? 0);
    // Of a release that recorded no executable.
    const record = { ...entry.status.vmm, process, facts: { index: "0" } };
    const next = await nextKilnd(entry.id, () => ({ vmm: record }));
    await assertUntouched(next, vmm, "another's mark");
  });

  it("is ended where no VM knows it", async () => {
    const { entry, vmm } = await running("ab".repeat(32));
    const ended = once(vmm, "exit");
    await nextKilnd(entry.id, () => ({}));
    await ended;
    assert.equal(vmm.signalCode, "SIGKILL");
  });
});

describe("a run root with more than this kilnd's directories", () => {
  /** Another data root whose run root is this one, by another path. */
  async function otherKilnd(): Promise<{ other: World; engine: OpenEngine }> {
    const other = await createWorld();
    await symlink(runRoot(), join(other.root, "run"));
    return { other, engine: await startEngine(other) };
  }

  it("loses none of another data root's, whether its VMs run or not", async () => {
    const { entry, vmm } = await running();
    const stale = await directoryOf("ef".repeat(32));
    const mark = new OwnerMark();
    await mark.open(join(kilnd.world.root, "data"), silentLogger);
    await markRunDirectory({ mark }, stale);
    const { other, engine } = await otherKilnd();
    try {
      await assertUntouched(entry, vmm, "another kilnd has started");
      await access(stale);
      assert.deepEqual((await engine.system.diskUsage()).leaks, []);
    } finally {
      await engine.close();
      await destroyWorld(other);
    }
    await nextKilnd(entry.id, () => ({}));
    await assert.rejects(access(stale), { code: "ENOENT" });
  });

  it("keeps what an earlier release left unmarked while a process uses it", async () => {
    const [listened, named, recorded, idle] = await Promise.all(
      ["1", "2", "3", "4"].map((digit) => directoryOf(digit.repeat(64))),
    );
    assert.ok(listened && named && recorded && idle);
    const server = createServer().listen(join(listened, "qmp.sock"));
    await once(server, "listening");
    // A VMM by its name; the last is named by somebody's shell alone.
    for (const [argv0, path] of [
      ["/usr/bin/qemu-system-x86_64", named],
      ["sh", idle],
    ] as const) {
      const words = ["-c", "read x", join(path, "qmp.sock")];
      const helper = spawn("/bin/sh", words, { argv0, stdio: ["pipe", "ignore", "ignore"] });
      helpers.push(helper);
      await executed(helper);
    }
    const self = await identifyProcess(process.pid);
    assert.ok(self);
    const facts = { vmId: "3".repeat(64), driver: "qemu", executable: process.execPath, uid: 0 } as const;
    writeProcessRecord(recorded, { version: 1, spawned: self, ...facts });
    try {
      await kilnd.start();
      assert.deepEqual(
        (await readdir(join(runRoot(), "v"))).sort(),
        [listened, named, recorded].map((path) => basename(path)).sort(),
      );
    } finally {
      server.close();
    }
  });

  it("has the directory of a VM that runs marked, where an earlier release did not", async () => {
    const { entry } = await running();
    const directory = vmRunDirectory(runRoot(), entry.id);
    await rm(join(directory, "owner"), { force: true });
    await nextKilnd(entry.id, () => ({}));
    const mark = new OwnerMark();
    await mark.open(join(kilnd.world.root, "data"), silentLogger);
    assert.equal(await markOf({ mark }, directory), "ours");
    assert.equal(await markOf({ mark: new OwnerMark() }, directory), "another's");
  });
});

async function directoryOf(id: string): Promise<string> {
  const directory = vmRunDirectory(runRoot(), id);
  await mkdir(directory, { recursive: true });
  return directory;
}
