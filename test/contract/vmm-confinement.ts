// What confines a VMM: nothing starts without a jail unless that was allowed by name, and what a jail promises holds in
// the kernel's own words for a VMM that runs.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, readlink, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { errnoOf, hasReason, KilnError } from "../../src/base/errors.js";
import { exists } from "../../src/base/files.js";
import { delay } from "../../src/base/runtime.js";
import type { VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import { planLimits, prepareCgroups, VmCgroup } from "../../src/vmm/jail/cgroup.js";
import { planCgroups, readCgroupHost, VM_PREFIX } from "../../src/vmm/jail/cgroup-place.js";
import { type DriverFactory, MIB, processesNaming, VmmBench } from "./vmm-bench.js";

/** A program that makes no jail. */
const NO_BWRAP = "/bin/false";
const NAMESPACES = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];

export function confinementContract(makeDriver: DriverFactory): void {
  const isRoot = process.getuid?.() === 0;

  describe("confinement", () => {
    let bench: VmmBench;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
    });
    after(() => bench[Symbol.asyncDispose]());

    /** A driver on a host that can make no jail. */
    const jailless = (allowUnconfined: boolean) =>
      makeDriver(join(bench.root, "cache"), undefined, { bwrap: NO_BWRAP, allowUnconfined });

    it("is missed where no jail can be made: nothing starts, and nothing is left", async () => {
      const spec = await bench.spec();
      const launched = jailless(false).launch(spec);
      await assert.rejects(launched, (error) => {
        assert.ok(hasReason(error, "no-jail"), String(error));
        assert.ok(error instanceof KilnError);
        assert.match(error.message, /bubblewrap can make no jail here/);
        assert.match(error.hint ?? "", /KILN_ALLOW_UNCONFINED=yes/);
        return true;
      });
      assert.deepEqual(await readdir(spec.runDirectory), []);
      assert.deepEqual(await processesNaming(spec.runDirectory), []);
    });

    it("is not missed where that was allowed by name; no right is left all the same", async () => {
      const handle = bench.adopt(await jailless(true).launch(await bench.spec()));
      assert.equal(handle.record.facts.jail, "none");
      const status = await statusOf(handle);
      assert.equal(status.get("NoNewPrivs"), "1");
      assert.equal(status.get("CapEff"), "0000000000000000");
      assert.equal(limitOf(await limitsText(handle), "Max core file size"), "0");
      await handle.kill();
    });

    it("holds in the kernel's words: namespaces, filter, limits", {
      skip: !isRoot && "not root: what a VMM has can't be looked at",
    }, async () => {
      const spec = await bench.spec({ runAs: { uid: 54321, gid: 54321 } });
      const handle = bench.adopt(await bench.newDriver().launch(spec));
      for (const name of NAMESPACES) {
        const [its, ours] = await Promise.all([
          namespaceOf(handle.record.process.pid, name),
          namespaceOf("self", name),
        ]);
        assert.notEqual(its, ours, name);
      }
      assert.equal((await statusOf(handle)).get("Seccomp"), "2");
      const limits = await limitsText(handle);
      assert.equal(limitOf(limits, "Max core file size"), "0");
      assert.ok(Number(limitOf(limits, "Max open files")) <= 1024);
      assert.equal(limitOf(limits, "Max processes"), String(128 + spec.vcpus));
      await handle.kill();
    });

    it("has a cgroup for each VM, with its limits, until its end", async (t) => {
      const verdict = await prepareCgroups(planCgroups(await readCgroupHost()));
      const { place } = verdict;
      if (place === undefined) return t.skip(`VMs get no cgroups here: ${verdict.why}`);
      const spec = await bench.spec();
      const first = await bench.newDriver().launch(spec);
      const pid = first.record.process.pid;
      const name = `${VM_PREFIX}${spec.vmId.slice(0, 32)}`;
      const directories = place.parents.map(({ directory }) => join(directory, name));
      const membership = (await readFile(`/proc/${pid}/cgroup`, "utf8")).split("\n");
      const within = membership.filter((line) => line.endsWith(`/${name}`));
      assert.equal(within.length, directories.length, membership.join("\n"));
      for (const { directory, controllers } of place.parents) {
        for (const { file, least } of planned(place.version, controllers, spec)) {
          const text = await readFile(join(directory, name, file), "utf8");
          assert.match(text, /^\d+/, `${file} limits nothing: ${text}`);
          if (least !== undefined) assert.ok(Number.parseInt(text, 10) >= least, `${file}: ${text}`);
        }
      }
      await first.detach();
      const handle = bench.adopt(await bench.newDriver().reattach(first.record, spec));
      await handle.kill();
      for (const directory of directories) assert.equal(await untilGone(directory), true, directory);
    });

    it("has a cgroup below one that has fewer processors than the VM", async (t) => {
      const { place, why } = await prepareCgroups(planCgroups(await readCgroupHost()));
      const own = place?.parents.find(({ controllers }) => controllers.includes("cpu"))?.directory;
      if (own === undefined || place?.version === 2)
        return t.skip(`only version 1 refuses more than the cgroup above has: ${why}`);
      const small = await mkdtemp(join(own, "kiln-test-"));
      try {
        await writeFile(join(small, "cpu.cfs_quota_us"), "5000");
        const parents = [{ directory: small, controllers: ["cpu" as const] }];
        const limits = { memoryBytes: 1, cpus: 1, processes: 1 };
        const cgroup = await VmCgroup.create({ version: 1, parents }, "f".repeat(64), limits);
        const [name = ""] = (await readdir(small)).filter((one) => one.startsWith(VM_PREFIX));
        assert.equal(await readFile(join(small, name, "cpu.cfs_quota_us"), "utf8"), "-1\n");
        await cgroup.close();
      } finally {
        await rmdir(small);
      }
    });
  });
}

/** Files of limits, and what they must leave the VM at least. */
function planned(version: 1 | 2, controllers: Parameters<typeof planLimits>[1], spec: VmmSpec) {
  const { memoryBytes, vcpus } = spec;
  const least: Readonly<Record<string, number>> = {
    "memory.max": memoryBytes + MIB,
    "memory.limit_in_bytes": memoryBytes + MIB,
    "pids.max": vcpus,
  };
  const limits = { memoryBytes, cpus: vcpus, processes: 1 };
  return planLimits(version, controllers, limits).map(({ file }) => ({ file, least: least[file] }));
}

/** The kernel lets a cgroup go once the last of its processes is reaped, and its driver tries a few times. */
async function untilGone(path: string): Promise<boolean> {
  for (let turn = 0; turn < 400 && (await exists(path)); turn++) await delay(5);
  return !(await exists(path));
}

async function statusOf(handle: VmmHandle): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(`/proc/${handle.record.process.pid}/status`, "utf8");
  return new Map(text.split("\n").map((line) => line.split(":\t") as [string, string]));
}

function limitsText(handle: VmmHandle): Promise<string> {
  return readFile(`/proc/${handle.record.process.pid}/limits`, "utf8");
}

/** The hard one. */
function limitOf(text: string, what: string): string | undefined {
  return new RegExp(`^${what} +\\S+ +(\\S+)`, "m").exec(text)?.[1];
}

async function namespaceOf(pid: number | "self", name: string): Promise<string> {
  try {
    return await readlink(`/proc/${pid}/ns/${name}`);
  } catch (error) {
    throw new Error(`the ${name} namespace of ${pid} can't be read: ${errnoOf(error)}`);
  }
}
