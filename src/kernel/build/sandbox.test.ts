import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { KilnError } from "../../base/errors.js";
import { BUILD_USER, chooseSandbox, closedTo, planSandbox } from "./sandbox.js";

describe("the sandbox of a build", () => {
  it("drops root's user, groups and capabilities and closes the way back", () => {
    const { words, user } = planSandbox(0, true);
    const dropped = words.slice(words.lastIndexOf("setpriv"), words.lastIndexOf("--"));
    assert.deepEqual(user, BUILD_USER);
    for (const word of ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups"]) {
      assert.ok(dropped.includes(word), word);
    }
    assert.ok(dropped.includes(`--reuid=${BUILD_USER.uid}`) && dropped.includes(`--regid=${BUILD_USER.gid}`));
  });

  it("has no network, no other processes, and dies with kilnd", () => {
    const { words } = planSandbox(0, true);
    const fence = words.slice(0, words.lastIndexOf("setpriv"));
    assert.deepEqual(fence.slice(0, 3), ["setpriv", "--pdeathsig=KILL", "--"]);
    for (const word of ["--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]) {
      assert.ok(fence.includes(word), word);
    }
    assert.ok(!fence.includes("--user"));
  });

  it("makes an ordinary user's namespaces in one of that user's own", () => {
    const { words, user } = planSandbox(1000, true);
    assert.equal(user, undefined);
    assert.ok(words.includes("--user") && words.includes("--map-current-user"));
    assert.ok(!words.some((word) => word.startsWith("--reuid")));
  });

  it("without namespaces still drops what it can and dies with kilnd", () => {
    for (const uid of [0, 1000]) {
      const { words, fenced } = planSandbox(uid, false);
      assert.equal(fenced, false);
      assert.ok(!words.includes("unshare"));
      assert.ok(words.includes("--pdeathsig=KILL") && words.includes("--no-new-privs"));
    }
  });

  it("lets VMs go first", () => {
    assert.deepEqual(planSandbox(0, true).words.slice(-3), ["nice", "-n", "10"]);
  });
});

describe("a place that the build's user can't reach", () => {
  const isRoot = process.getuid?.() === 0;

  it("is told by the directory that is closed, and how it is opened", async (test) => {
    const root = await mkdtemp(join(tmpdir(), "kiln-closed-"));
    try {
      const [closed, work] = [join(root, "private"), join(root, "private/kiln/work")];
      await mkdir(work, { recursive: true });
      for (const path of [root, join(closed, "kiln"), work]) await chmod(path, 0o777);
      await chmod(closed, 0o700);
      assert.equal(await closedTo(BUILD_USER, work), closed);
      if (!isRoot) return test.diagnostic("no root: who builds is who made the directories");
      await assert.rejects(chooseSandbox(work), (error) => {
        assert.ok(error instanceof KilnError);
        assert.equal(error.reason, "build-sandbox");
        assert.ok(
          error.message.endsWith(
            `user ${BUILD_USER.uid}, as whom compilers run, can't pass through ${closed}`,
          ),
        );
        assert.ok(error.hint?.startsWith(`chmod o+x ${closed}, or`), error.hint);
        return true;
      });
      await chmod(closed, 0o711);
      assert.equal(await closedTo(BUILD_USER, work), undefined);
      assert.deepEqual((await chooseSandbox(work)).user, BUILD_USER);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
});
