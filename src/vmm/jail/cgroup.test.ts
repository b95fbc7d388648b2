import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { planLimits, prepareCgroups, VmCgroup } from "./cgroup.js";
import { planCgroups, planFound } from "./cgroup-place.js";

const V1 = {
  membership: "9:name=systemd:/\n8:pids:/\n4:memory:/pod/abc\n1:cpu,cpuacct:/\n0::/\n",
  mounts: [
    "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct",
    "31 25 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
    "32 25 0:28 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids",
    "33 25 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
  ].join("\n"),
};
const V2 = {
  membership: "0::/user.slice/session-3.scope\n",
  mounts: "30 25 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n",
};

describe("planCgroups", () => {
  it("finds version 1's controllers where kilnd is in each", () => {
    assert.deepEqual(planCgroups(V1), {
      version: 1,
      parents: [
        { directory: "/sys/fs/cgroup/memory/pod/abc", controllers: ["memory"] },
        { directory: "/sys/fs/cgroup/cpu", controllers: ["cpu"] },
        { directory: "/sys/fs/cgroup/pids", controllers: ["pids"] },
      ],
    });
  });

  const directoryOf = (...asked: Parameters<typeof planCgroups>) => {
    const plan = planCgroups(...asked);
    return "why" in plan ? plan.why : plan.parents[0]?.directory;
  };

  it("finds version 2's cgroup, also through a mount of a part of the tree", () => {
    assert.equal(directoryOf(V2), "/sys/fs/cgroup/user.slice/session-3.scope");
    const mounts = "30 25 0:26 /user.slice /cg rw - cgroup2 cgroup2 rw\n";
    assert.equal(directoryOf({ ...V2, mounts }), "/cg/session-3.scope");
  });

  it("takes no host's root cgroup, and none where none is mounted", () => {
    assert.match(directoryOf({ ...V2, membership: "0::/\n" }) ?? "", /no cgroup of its own/);
    assert.match(directoryOf({ ...V2, mounts: "" }) ?? "", /can't be seen/);
    assert.match(directoryOf({ membership: "", mounts: "" }) ?? "", /no cgroups/);
  });

  it("never shares out a service's own cgroup, which systemd has to start it in again", () => {
    const service = { ...V2, membership: "0::/kiln.slice/kilnd.service\n" };
    assert.match(directoryOf(service) ?? "", /could not start .* vm\.cgroup/);
    const vms = "/sys/fs/cgroup/kiln.slice/kiln-cgroups.service";
    assert.equal(directoryOf(service, "../kiln-cgroups.service"), vms);
    assert.equal(directoryOf(service, "/kiln.slice/kiln-cgroups.service"), vms);
    assert.match(directoryOf(service, "../..") ?? "", /no cgroup of its own/);
  });
});

describe("planFound", () => {
  const name = `kiln-vm-${"a".repeat(32)}`;

  it("finds a VM's cgroup by its process, whatever this kilnd's own is", () => {
    const membership = `8:pids:/old/${name}\n4:memory:/pod/abc/${name}\n1:cpu,cpuacct:/\n0::/\n`;
    assert.deepEqual(planFound({ ...V1, membership }), {
      name,
      place: {
        version: 1,
        parents: [
          { directory: "/sys/fs/cgroup/pids/old", controllers: ["pids"] },
          { directory: "/sys/fs/cgroup/memory/pod/abc", controllers: ["memory"] },
        ],
      },
    });
    const found = planFound({ ...V2, membership: `0::/system.slice/by-hand.scope/${name}\n` });
    const parents = [
      { directory: "/sys/fs/cgroup/system.slice/by-hand.scope", controllers: ["memory", "cpu", "pids"] },
    ];
    assert.deepEqual(found, { name, place: { version: 2, parents } });
  });

  it("finds none where the process is in none, or where it can't be seen", () => {
    for (const path of ["/", "/kiln-vm-x/other", "/kiln-vm-not-ours", `/${name}/inner`]) {
      assert.equal(planFound({ ...V2, membership: `0::${path}\n` }), undefined, path);
    }
    assert.equal(planFound({ membership: `0::/${name}\n`, mounts: "" }), undefined);
  });
});

describe("planLimits", () => {
  const limits = { memoryBytes: 1000, cpus: 1.5, processes: 99 };
  it("names each version's files", () => {
    const files = (version: 1 | 2) =>
      planLimits(version, ["memory", "cpu", "pids"], limits).map(({ file, text }) => `${file}=${text}`);
    assert.deepEqual(files(1), [
      "memory.limit_in_bytes=1000",
      "cpu.cfs_period_us=100000",
      "cpu.cfs_quota_us=150000",
      "pids.max=99",
    ]);
    assert.deepEqual(files(2), [
      "memory.max=1000",
      "memory.oom.group=1",
      "cpu.max=150000 100000",
      "pids.max=99",
    ]);
    assert.deepEqual(planLimits(2, ["pids"], limits).length, 1);
  });
});

describe("a VM's cgroup", () => {
  /** Directories stand in for the kernel's: what is written shows, what the kernel would refuse does not. */
  async function withTree(body: (root: string) => Promise<void>): Promise<void> {
    const root = await mkdtemp(join(tmpdir(), "kiln-cgroup-"));
    try {
      await writeFile(join(root, "cgroup.controllers"), "cpuset cpu memory pids\n");
      await body(root);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  }

  it("is enabled, made, joined and told of by the kernel's count of kills", () =>
    withTree(async (root) => {
      const verdict = await prepareCgroups({
        version: 2,
        parents: [{ directory: root, controllers: ["memory"] }],
      });
      assert.deepEqual(verdict.controllers, ["memory", "cpu", "pids"]);
      assert.equal(await readFile(join(root, "cgroup.subtree_control"), "utf8"), "+memory +cpu +pids");
      assert.ok(verdict.place !== undefined);
      const limits = { memoryBytes: 5, cpus: 1, processes: 7 };
      const cgroup = await VmCgroup.create(verdict.place, "f".repeat(64), limits);
      await cgroup.add([4242]);
      const own = join(root, `kiln-vm-${"f".repeat(32)}`);
      assert.equal(await readFile(join(own, "cgroup.procs"), "utf8"), "4242");
      assert.equal(await readFile(join(own, "memory.max"), "utf8"), "5");
      await writeFile(join(own, "memory.events"), "low 0\noom 1\noom_kill 2\n");
      assert.match((await cgroup.close()) ?? "", /more memory than/);
    }));

  it("is made again with its limits where another kilnd that starts has swept it away", () =>
    withTree(async (root) => {
      const place = { version: 1, parents: [{ directory: root, controllers: ["pids"] }] } as const;
      const limits = { memoryBytes: 5, cpus: 1, processes: 7 };
      const cgroup = await VmCgroup.create(place, "e".repeat(64), limits);
      const own = join(root, `kiln-vm-${"e".repeat(32)}`);
      await rm(own, { recursive: true });
      await cgroup.add([4242]);
      assert.equal(await readFile(join(own, "cgroup.procs"), "utf8"), "4242");
      assert.equal(await readFile(join(own, "pids.max"), "utf8"), "7");
    }));

  it("is not made again for a process that is late: its VM has ended", () =>
    withTree(async (root) => {
      const place = { version: 1, parents: [{ directory: root, controllers: [] }] } as const;
      const limits = { memoryBytes: 5, cpus: 1, processes: 7 };
      const cgroup = await VmCgroup.create(place, "d".repeat(64), limits);
      await Promise.all([cgroup.close(), cgroup.add([4242])]);
      await cgroup.add([4243]);
      await assert.rejects(readdir(join(root, `kiln-vm-${"d".repeat(32)}`)), { code: "ENOENT" });
    }));

  it("is swept away where an earlier kilnd left it", () =>
    withTree(async (root) => {
      await mkdir(join(root, "kiln-vm-old"));
      await mkdir(join(root, "other"));
      await prepareCgroups({ version: 1, parents: [{ directory: root, controllers: ["pids"] }] });
      await assert.rejects(readFile(join(root, "kiln-vm-old")), { code: "ENOENT" });
      await assert.rejects(readFile(join(root, "other")), { code: "EISDIR" });
    }));

  it("is done without where kilnd may make none", async () => {
    const parents = [{ directory: "/proc/nowhere", controllers: ["pids"] as const }];
    const verdict = await prepareCgroups({ version: 1, parents });
    assert.equal(verdict.place, undefined);
    assert.match(verdict.why, /nowhere: ENOENT/);
    assert.deepEqual(await prepareCgroups({ why: "so" }), { place: undefined, controllers: [], why: "so" });
  });
});
