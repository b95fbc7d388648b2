// kilnd on a disk without one free byte: it starts, answers and frees, because `kiln system prune` is the cure. Data,
// sockets and kilnd's log all lie on that disk.

import assert from "node:assert/strict";
import { mkdtemp, readlink, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { mountSmallDisk } from "../fixtures/hostile/small-disk.js";
import { eventually, type RunResult, run, TYPESCRIPT } from "./harness.js";

const MIB = 1024 * 1024;
const disk = mountSmallDisk(64 * MIB);

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
    const holder = await readlink(join(root, "data/kilnd.lock")).catch(() => undefined);
    if (holder === undefined) return;
    const { pid } = JSON.parse(holder) as { pid: number };
    process.kill(pid, "SIGKILL");
    await eventually("kilnd has ended", async () => {
      try {
        process.kill(pid, 0);
        return undefined;
      } catch {
        return true;
      }
    });
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
