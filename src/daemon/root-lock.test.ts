import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstat, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason, type KilnError } from "../base/errors.js";
import { lockInKernel } from "../base/kernel-lock.js";
import { readProcStat } from "../base/processes.js";
import { lockRoot, lockRunRoot } from "./root-lock.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-lock-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe("lockRoot", () => {
  it("lets one in and names it to the next", async () => {
    const lock = await lockRoot(root);
    await assert.rejects(lockRoot(root), (error) => {
      return hasReason(error, "data-root-in-use") && (error as Error).message.includes(`pid ${process.pid}`);
    });
    await lock.release();
    await (await lockRoot(root)).release();
    assert.deepEqual(await readdir(root), []);
  });

  // A kilnd in another pid namespace, or with another boot id, sees a dead pid in the name of a living one.
  it("lets nobody in beside a holder whose process it can't see", async () => {
    const lock = await lockRoot(root);
    await rm(join(root, "kilnd.lock"));
    const unseen = JSON.stringify({ pid: 1, startTime: "1bffffffff" });
    await symlink(unseen, join(root, "kilnd.lock"));
    await assert.rejects(lockRoot(root), (error) => hasReason(error, "data-root-in-use"));
    assert.equal(await readlink(join(root, "kilnd.lock")), unseen, "its name stays");
    await lock.release();
    await (await lockRoot(root)).release();
  });

  it("holds a root that is a link to another disk's directory, by either name", async () => {
    const link = `${root}.link`;
    await symlink(root, link);
    try {
      const lock = await lockRoot(link);
      await assert.rejects(lockRoot(root), (error) => hasReason(error, "data-root-in-use"));
      await lock.release();
    } finally {
      await rm(link);
    }
  });

  it("takes over from a holder that is dead, whatever its pid is now", async () => {
    await writeFile(join(root, "kilnd.lock"), JSON.stringify({ pid: process.pid, startTime: "1" }));
    await (await lockRoot(root)).release();
  });

  it("finds room on a disk without any", async (t) => {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=8k", "none", root], { stdio: "pipe" });
    } catch (error) {
      return t.skip(`no small file system can be mounted here: ${(error as Error).message.split("\n")[1]}`);
    }
    try {
      await writeFile(join(root, "full"), Buffer.alloc(16_384)).catch(() => undefined);
      await assert.rejects(writeFile(join(root, "more"), "x"), { code: "ENOSPC" });
      await rm(join(root, "more"), { force: true });
      const lock = await lockRoot(root);
      assert.ok((await lstat(join(root, "kilnd.lock"))).isSymbolicLink());
      await assert.rejects(lockRoot(root), (error) => hasReason(error, "data-root-in-use"));
      await lock.release();
      assert.deepEqual(await readdir(root), ["full"]);
    } finally {
      execFileSync("umount", [root]);
    }
  });

  it("takes over the file and the link of earlier releases, and what a killed claim left", async () => {
    const dead = JSON.stringify({ pid: 1, startTime: "none" });
    await writeFile(join(root, "kilnd.lock.tmp-0123"), "{");
    await writeFile(join(root, "kilnd.lock"), dead);
    await (await lockRoot(root)).release();
    await symlink(dead, join(root, "kilnd.lock"));
    await (await lockRoot(root)).release();
    assert.deepEqual(await readdir(root), []);
  });

  // After a downgrade: it reads the path as a file, and compares pid and ticks with what lives.
  it("is one that the first release reads: alive while its holder lives, dead afterwards", async () => {
    const lock = await lockRoot(root);
    const seen = JSON.parse(await readFile(join(root, "kilnd.lock"), "utf8")) as Record<string, unknown>;
    const stat = await readProcStat(process.pid);
    assert.deepEqual([seen.pid, seen.startTime], [process.pid, stat?.startTime]);
    await lock.release();
    const next = await lockRunRoot(root);
    assert.equal(JSON.parse(await readFile(join(root, "run.lock"), "utf8")).startTime, stat?.startTime);
    await next.release();
  });

  it("says where the kernel locks nothing, and goes on by names", async () => {
    const broken = join(root, "flock");
    await writeFile(broken, "#!/bin/sh\necho no locks on this file system >&2\nexit 65\n", { mode: 0o755 });
    for (const [program, why] of [
      [join(root, "none"), /can't be run: .*ENOENT/],
      [broken, /no locks on this file system/],
    ] as const) {
      const lock = await lockInKernel(root, program);
      assert.match(lock?.flaw ?? "", why);
      await lock?.release();
    }
    assert.equal((await lockRoot(root)).flaw, undefined);
  });

  it("takes over a lock that is damaged", async () => {
    await writeFile(join(root, "kilnd.lock"), "{ torn");
    await (await lockRoot(root)).release();
  });

  it("lets exactly one of many in that come upon a dead holder at once", async () => {
    await writeFile(join(root, "kilnd.lock"), JSON.stringify({ pid: 1, startTime: "none" }));
    const tries = await Promise.allSettled(Array.from({ length: 16 }, () => lockRoot(root)));
    assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1);
    assert.deepEqual(await readdir(root), ["kilnd.lock"]);
  });

  it("takes over from one that was killed while it took over", async () => {
    const dead = JSON.stringify({ pid: 1, startTime: "none" });
    const gate = createHash("sha256").update(dead).digest("hex").slice(0, 16);
    await writeFile(join(root, "kilnd.lock"), dead);
    await writeFile(join(root, `kilnd.lock.after-${gate}`), JSON.stringify({ pid: 1, startTime: "other" }));
    const lock = await lockRoot(root);
    assert.deepEqual(await readdir(root), ["kilnd.lock"]);
    await lock.release();
  });

  it("does not release what somebody else holds", async () => {
    const lock = await lockRoot(root);
    const other = JSON.stringify({ pid: 1, startTime: "7" });
    await rm(join(root, "kilnd.lock"));
    await writeFile(join(root, "kilnd.lock"), other);
    await lock.release();
    assert.deepEqual(await readdir(root), ["kilnd.lock"]);
  });
});

describe("lockRunRoot", () => {
  it("lets nobody in beside a holder whose process it can't see", async () => {
    const lock = await lockRunRoot(root);
    await rm(join(root, "run.lock"));
    await symlink(JSON.stringify({ pid: 1, startTime: "1bffffffff" }), join(root, "run.lock"));
    await assert.rejects(lockRunRoot(root), (error) => hasReason(error, "run-root-in-use"));
    await lock.release();
    await (await lockRunRoot(root)).release();
  });

  it("lets one kilnd in, whatever its data root, and says what to do", async () => {
    const lock = await lockRunRoot(root);
    await assert.rejects(lockRunRoot(root), (error) => {
      const { message, hint = "" } = error as KilnError;
      assert.ok(message.includes(`pid ${process.pid}`) && message.includes(root), message);
      return hasReason(error, "run-root-in-use") && hint.includes("--run-root");
    });
    await lock.release();
    await (await lockRunRoot(root)).release();
  });

  it("is another lock than the data root's, should both be one directory", async () => {
    const locks = [await lockRoot(root), await lockRunRoot(root, root)];
    for (const lock of locks) await lock.release();
    assert.deepEqual(await readdir(root), []);
  });
});
