import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { readPodLimits } from "./pod-cgroup.js";

const POD = "/kubepods/burstable/pod1";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-cgroups-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), `${text}\n`);
  }
}

const v1 = (limit: string, quota: string, shares: string) => ({
  [`memory${POD}/memory.limit_in_bytes`]: limit,
  [`cpu${POD}/cpu.cfs_quota_us`]: quota,
  [`cpu${POD}/cpu.cfs_period_us`]: "100000",
  [`cpu${POD}/cpu.shares`]: shares,
});
const v2 = (memory: string, cpu: string) => ({
  [`.${POD}/memory.max`]: memory,
  [`.${POD}/cpu.max`]: cpu,
});

describe("readPodLimits", () => {
  for (const [version, files] of [
    ["1", v1("75497472", "150000", "512")],
    ["2", v2("75497472", "150000 100000")],
  ] as const) {
    it(`reads the limits of version ${version}`, async () => {
      await write(files);
      const limits = await readPodLimits(POD, root);
      assert.deepEqual([limits?.memoryBytes, limits?.cpus], [75_497_472, 1.5]);
      assert.equal(limits?.cpuRequest, version === "1" ? 0.5 : undefined);
    });
  }

  for (const [version, files] of [
    ["1", v1("9223372036854771712", "-1", "2")],
    ["2", v2("max", "max 100000")],
  ] as const) {
    it(`takes no limit of version ${version} for one`, async () => {
      await write(files);
      const limits = await readPodLimits(POD, root);
      assert.deepEqual([limits?.memoryBytes, limits?.cpus], [undefined, undefined]);
    });
  }

  it("passes over a hierarchy of version 2 that has neither controller", async () => {
    await write({ ...v1("75497472", "-1", "2"), [`unified${POD}/hugetlb.2MB.max`]: "max" });
    assert.equal((await readPodLimits(POD, root))?.memoryBytes, 75_497_472);
  });

  it("finds none where the kubelet has made none", async () => {
    assert.equal(await readPodLimits("", root), undefined);
    assert.equal(await readPodLimits("/test.slice", root), undefined);
  });

  for (const parent of ["kubepods-pod1.slice", "/kubepods/../../etc", "/a\0b"]) {
    it(`refuses ${JSON.stringify(parent)}`, async () => {
      await assert.rejects(readPodLimits(parent, root), (error) => hasReason(error, "bad-cgroup-parent"));
    });
  }
});
