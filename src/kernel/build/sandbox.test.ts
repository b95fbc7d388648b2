import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BUILD_USER, planSandbox } from "./sandbox.js";

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
