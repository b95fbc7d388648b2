// kilnd on a disk without one free byte: it starts, answers and frees, because `kiln system prune` is the cure. Data,
// sockets and kilnd's log all lie on that disk.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, statfs, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { namedHolder } from "../../src/base/lock-file.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { mountSmallDisk } from "../fixtures/hostile/small-disk.js";
import { eventually, killToTheEnd, type RunResult, run, TestKiln, TYPESCRIPT } from "./harness.js";

const MIB = 1024 * 1024;
const disk = mountSmallDisk(64 * MIB);
/** A kernel with all its modules (Debian's: 270 MiB), a base and what VMs write. */
const vmDisk = typeof disk === "string" ? disk : mountSmallDisk(640 * MIB);

describe("kilnd without a free byte", { skip: typeof disk === "string" ? disk : false }, () => {
  if (typeof disk === "string") return;
  const root = join(disk.path, "root");
  let scratch = "";
  let image = "";

  const kiln = (args: readonly string[]): Promise<RunResult> =>
    run([...TYPESCRIPT, ...args], {
      env: { ...process.env, KILN_ROOT: root, KILN_HOST: "", NO_COLOR: "1", KILN_DISK_RESERVE: "8m" },
      timeoutMs: 90_000,
    });
  const ok = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await kiln(args);
    assert.equal(code, 0, `kiln ${args.join(" ")}: ${stderr}`);
    return stdout;
  };

  /** Ends the kilnd that a client has started. */
  async function endDaemon(): Promise<void> {
    const holder = await namedHolder(join(root, "data/kilnd.lock"));
    if (holder === undefined) return;
    const { pid } = holder;
    process.kill(pid, "SIGKILL");
    await eventually("kilnd has ended", async () => {
      try {
        process.kill(pid, 0);
        return undefined;
      } catch {
        return true;
      }
    });
    for (const lock of ["data/kilnd.lock", "run/run.lock"]) await asLink(join(root, lock));
  }

  /** As a kilnd on this full disk leaves it: a file would give its block back when it is taken over. */
  async function asLink(lock: string): Promise<void> {
    const text = await readFile(lock, "utf8").catch(() => undefined);
    if (text === undefined) return;
    await rm(lock);
    await symlink(text.trim(), lock);
  }

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kiln-full-"));
    image = await busyboxImage(join(scratch, "busybox"));
    await ok(["pull", image]);
    await endDaemon();
    await disk.leaveFree(0);
    assert.equal((await statfs(disk.path)).bavail, 0);
  });
  after(async () => {
    await endDaemon();
    disk.unmount();
    await rm(scratch, { recursive: true, force: true });
  });

  it("is started by a client, and shows what there is", async () => {
    assert.equal((await ok(["ps", "-aq"])).trim(), "");
    assert.match(await ok(["images"]), /busybox/);
    assert.match(await ok(["info"]), /only 0B of disk are free/);
  });

  it("refuses what takes room, and says why and what helps", async () => {
    for (const verb of ["create", "run"]) {
      const { code, stderr } = await kiln([verb, image, "true"]);
      assert.notEqual(code, 0);
      assert.match(stderr, /only 0B are free/);
      assert.match(stderr, /kiln system prune/);
    }
  });

  it("frees what is not used", async () => {
    await ok(["system", "prune", "-af"]);
    assert.equal((await ok(["images", "-q"])).trim(), "");
    assert.ok((await statfs(disk.path)).bavail > 0);
  });
});

describe("kilnd without a free byte below its VMs", {
  skip: typeof vmDisk === "string" ? vmDisk : false,
}, () => {
  if (typeof vmDisk === "string") return;
  let kiln: TestKiln;
  let scratch = "";
  let image = "";

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kiln-full-"));
    image = await busyboxImage(join(scratch, "busybox"));
    kiln = await startOn(vmDisk.path);
    const vm = ["-m", "128m", "--network", "none", image];
    await kiln.ok(["create", "--name", "made", ...vm, "true"]);
    await kiln.ok(["run", "--name", "ended", ...vm, "true"]);
    for (const name of ["living", "killed", "lost"])
      await kiln.ok(["run", "-d", "--name", name, ...vm, "sleep", "1000"]);
    const { pid } = (await statuses()).lost ?? {};
    assert.ok(pid !== undefined && pid > 1);
    await kiln.stopDaemon("SIGKILL");
    await killToTheEnd(pid);
    await fill();
    await kiln.startDaemon();
  });
  after(async () => {
    await vmDisk.empty();
    await kiln.dispose();
    vmDisk.unmount();
    await rm(scratch, { recursive: true, force: true });
  });

  /** A root below `path`. */
  async function startOn(path: string): Promise<TestKiln> {
    const usual = process.env.TMPDIR;
    process.env.TMPDIR = path;
    try {
      // The kernel is none of it, and kiln's own takes less time, also to be copied.
      return await TestKiln.start({ kernel: "kiln", env: { TMPDIR: scratch, KILN_DISK_RESERVE: "64m" } });
    } finally {
      if (usual === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = usual;
    }
  }

  const fill = async (): Promise<void> => {
    await vmDisk.leaveFree(0);
    assert.equal((await statfs(vmDisk.path)).bavail, 0);
  };

  async function statuses(): Promise<Record<string, { state: string; pid: number }>> {
    const names = (await kiln.ok(["ps", "-a", "--format", "{{.Names}}"])).trim().split("\n");
    const all = JSON.parse(await kiln.ok(["inspect", ...names])) as {
      status: { state: string; pid: number };
    }[];
    return Object.fromEntries(names.map((name, n) => [name, all[n]?.status ?? { state: "", pid: 0 }]));
  }

  async function states(): Promise<Record<string, string>> {
    return Object.fromEntries(Object.entries(await statuses()).map(([name, { state }]) => [name, state]));
  }

  it("shows every VM as it is, the one that died meanwhile too", async () => {
    const { living, killed, ...rest } = await states();
    assert.deepEqual(rest, { made: "created", ended: "exited", lost: "failed" });
    // kilnd holds a VM still before it could lose a write.
    for (const state of [living, killed]) assert.match(state ?? "", /^(running|paused)$/);
    assert.match(await kiln.ok(["ps", "-a"]), /lost/);
  });

  it("stops and kills those that run, and shows it", async () => {
    await kiln.ok(["stop", "-t", "20", "living"]);
    await kiln.ok(["kill", "killed"]);
    assert.equal(await kiln.ok(["wait", "killed"]), "137\n");
    const now = await states();
    assert.deepEqual([now.living, now.killed], ["exited", "exited"]);
  });

  it("starts none, and says what helps", async () => {
    const { code, stderr } = await kiln.kiln(["start", "made"]);
    assert.notEqual(code, 0);
    assert.match(stderr, /kiln system prune/);
  });

  it("knows all of it after a restart that finds the disk as full", async () => {
    await fill();
    const before = await states();
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    assert.deepEqual(Object.keys(await states()).sort(), Object.keys(before).sort());
    assert.ok(!Object.values(await states()).includes("running"));
  });

  it("removes VMs and images, and prunes", async () => {
    for (const name of ["lost", "made", "living"]) {
      await fill();
      await kiln.ok(["rm", name]);
    }
    await fill();
    await kiln.ok(["rm", "-f", "ended", "killed"]);
    assert.equal((await kiln.ok(["ps", "-aq"])).trim(), "");
    await fill();
    const [id = ""] = (await kiln.ok(["images", "-q"])).trim().split("\n");
    await kiln.ok(["image", "rm", id]);
    assert.equal((await kiln.ok(["images", "-q"])).trim(), "");
    assert.ok((await statfs(vmDisk.path)).bavail > 0);
    await fill();
    await kiln.ok(["system", "prune", "-af"]);
  });
});
