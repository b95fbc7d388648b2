import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { type MountSpec, NO_MOUNT } from "../../base/mounts.js";
import { mountOf } from "./mount-config.js";
import { checkMounts } from "./validate-mounts.js";
import { defaultConfig, type VmConfig } from "./vm-config.js";

function check(mounts: readonly Partial<MountSpec>[], changes: Partial<VmConfig> = {}) {
  const wanted = mounts.map((mount) => mountOf({ ...NO_MOUNT, ...mount }));
  return checkMounts({ ...defaultConfig("app"), ...changes, mounts: wanted });
}

describe("checkMounts", () => {
  it("normalises targets and subpaths, whoever has written them", () => {
    const [mount] = check([{ source: "db", target: "/a//b/../c/", subpath: "./x//y/" }]);
    assert.deepEqual([mount?.target, mount?.subpath], ["/a/c", "x/y"]);
  });

  const refused: [string, Partial<MountSpec>[], string][] = [
    ["two on one target", [{ target: "/a" }, { type: "tmpfs", target: "/a/" }], "duplicate-mount"],
    ["one on the root", [{ target: "/x/.." }], "bad-mount"],
    ["a relative target", [{ target: "a" }], "bad-mount"],
    ["what a guest has of its own", [{ target: "/proc/x" }], "mount-not-supported"],
    ["the whole of /dev", [{ target: "/dev" }], "mount-not-supported"],
    ["a type that nobody knows", [{ type: "nfs" as MountSpec["type"], target: "/a" }], "bad-mount"],
    ["a subpath that leads out", [{ source: "db", target: "/a", subpath: "x/../../y" }], "bad-mount"],
    ["an absolute subpath", [{ source: "db", target: "/a", subpath: "/y" }], "bad-mount"],
    ["a subpath of a new volume", [{ target: "/a", subpath: "x" }], "bad-mount"],
    ["a volume's name that is a path", [{ source: "a/b", target: "/a" }], "bad-mount"],
    ["a relative source", [{ type: "bind", source: "a", target: "/a" }], "bad-mount"],
    ["a source that is missing", [{ type: "image", target: "/a" }], "bad-mount"],
    ["a tmpfs with a source", [{ type: "tmpfs", source: "x", target: "/a" }], "bad-mount"],
    ["a word of another type", [{ source: "db", target: "/a", notify: true }], "bad-mount"],
    ["a mode above all modes", [{ type: "tmpfs", target: "/a", mode: 0o10000 }], "bad-mount"],
    ["a line break in a path", [{ type: "bind", source: "/a\nb", target: "/a" }], "bad-mount"],
    ["a map of ids that is none", [{ type: "bind", source: "/a", target: "/a", idmap: "1" }], "bad-mount"],
    [
      "more than a VM can have",
      Array.from({ length: 257 }, (_, at) => ({ target: `/${at}` })),
      "too-many-mounts",
    ],
  ];
  for (const [what, mounts, reason] of refused) {
    it(`refuses ${what}`, () =>
      assert.throws(
        () => check(mounts),
        (error) => hasReason(error, reason),
      ));
  }

  const settings: [string, Partial<VmConfig>, string][] = [
    ["a size without its unit", { shmBytes: 64 }, "bad-shm-size"],
    ["more than the VM has", { shmBytes: 2 ** 31, memoryBytes: 2 ** 30 }, "bad-shm-size"],
    ["a limit that nobody knows", { ulimits: [{ name: "files", soft: 1, hard: 1 }] }, "bad-ulimit"],
    ["a soft limit above the hard one", { ulimits: [{ name: "core", soft: -1, hard: 1 }] }, "bad-ulimit"],
    ["a setting that leads out of /proc/sys", { sysctls: { "../x": "1" } }, "bad-sysctl"],
  ];
  for (const [what, changes, reason] of settings) {
    it(`refuses ${what}`, () =>
      assert.throws(
        () => check([], changes),
        (error) => hasReason(error, reason),
      ));
  }
});
