import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, rmdir, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { exists } from "../../base/files.js";
import { identifyProcess } from "../../base/processes.js";
import { findProgram } from "../../base/programs.js";
import { VmCgroup } from "./cgroup.js";
import { planCgroups, readCgroupHost } from "./cgroup-place.js";
import { Confiner } from "./confiner.js";

/** A place for cgroups below the one where kilnd would make them; the reason where none can be had. */
async function otherPlace() {
  const plan = planCgroups(await readCgroupHost());
  if ("why" in plan) return plan.why;
  const parent = plan.parents.find(({ controllers }) => controllers.includes("pids"));
  if (parent === undefined) return "no place for cgroups with a limit of processes";
  const directory = join(parent.directory, `kiln-test-${process.pid}`);
  try {
    await mkdir(directory);
  } catch (error) {
    return `no cgroup can be made here: ${(error as Error).message}`;
  }
  return { version: plan.version, parents: [{ directory, controllers: [] }] };
}

describe("Confiner", () => {
  it("finds the cgroup of a VM by its process, where an earlier kilnd had made it elsewhere", async (t) => {
    const place = await otherPlace();
    if (typeof place === "string") return t.skip(place);
    const [{ directory = "" } = {}] = place.parents;
    const vmId = "c".repeat(64);
    const own = join(directory, `kiln-vm-${"c".repeat(32)}`);
    const vmm = spawn("sleep", ["600"], { stdio: "ignore" });
    const ended = once(vmm, "exit");
    try {
      const id = (await identifyProcess(vmm.pid ?? 0)) ?? assert.fail("it did not start");
      const made = await VmCgroup.create(place, vmId, { memoryBytes: 1, cpus: 1, processes: 1 });
      await made.add([id.pid]);
      const record = { process: id, facts: { cgroup: "own" } };
      const found = await new Confiner({}).found(vmId, record);
      vmm.kill("SIGKILL");
      await ended;
      assert.equal(await exists(own), true);
      await found?.close();
      assert.equal(await exists(own), false, "it goes with its VM");
    } finally {
      vmm.kill("SIGKILL");
      await ended;
      await rmdir(own).catch(() => undefined);
      await rmdir(directory);
    }
  });

  it("ends with a VM what is left in its cgroup: a helper that hangs", async (t) => {
    const place = await otherPlace();
    if (typeof place === "string") return t.skip(place);
    const [{ directory = "" } = {}] = place.parents;
    const helper = spawn("sleep", ["600"], { stdio: "ignore" });
    const ended = once(helper, "exit");
    try {
      const limits = { memoryBytes: 1, cpus: 1, processes: 1 };
      const cgroup = await VmCgroup.create(place, "b".repeat(64), limits);
      await cgroup.add([helper.pid ?? 0]);
      await cgroup.close();
      assert.deepEqual(await ended, [null, "SIGKILL"]);
      assert.equal(await exists(join(directory, `kiln-vm-${"b".repeat(32)}`)), false);
    } finally {
      helper.kill("SIGKILL");
      await rmdir(directory);
    }
  });

  it("looks again a while after it found that no jail can be made", async (t) => {
    const installed = await findProgram("bwrap");
    if (installed === undefined) return t.skip("bubblewrap is not installed");
    const directory = await mkdtemp(join(tmpdir(), "kiln-confiner-"));
    try {
      await chmod(directory, 0o755);
      const bwrap = join(directory, "bwrap");
      let now = 0;
      const confiner = new Confiner({ bwrap }, () => now);
      const first = await confiner.confinement();
      assert.match(first.jail.why, /is not installed/);
      await symlink(installed, bwrap);
      assert.equal((await confiner.confinement()).jail.holds, false, "not at each start");
      now += 5_000;
      const second = await confiner.confinement();
      assert.doesNotMatch(second.jail.why, /is not installed/);
      if (!second.jail.holds) return;
      now += 3_600_000;
      assert.equal(await confiner.confinement(), second, "a jail that holds is kept");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
