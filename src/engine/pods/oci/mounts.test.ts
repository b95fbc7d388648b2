import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { mountAt, POD, SECURITY } from "../../../../test/fixtures/container-spec.js";
import { hasReason, KilnError } from "../../../base/errors.js";
import type { ContainerMount } from "../containers/spec.js";
import { planMounts, rootPropagation } from "./mounts.js";

const plan = (mounts: readonly ContainerMount[], security: Partial<typeof SECURITY> = {}) =>
  planMounts(mounts, POD.files, { ...SECURITY, ...security });
const targets = (mounts: readonly ContainerMount[]) => plan(mounts).map(({ destination }) => destination);
const optionsAt = (mounts: readonly ContainerMount[], target: string, security = {}) =>
  plan(mounts, security).find(({ destination }) => destination === target)?.options;

describe("planMounts", () => {
  it("shows the kernel's, then the pod's own files", () => {
    assert.deepEqual(targets([]), [
      ...["/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup"],
      ...["/dev/shm", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"],
    ]);
  });

  it("makes parents first, else in the order asked", () => {
    const all = targets([mountAt("/a/b/c"), mountAt("/z"), mountAt("/a"), mountAt("/a/b")]);
    const asked = all.filter((target) => /^\/[az]/.test(target));
    assert.deepEqual(asked, ["/z", "/a", "/a/b", "/a/b/c"]);
  });

  it("puts what was asked for in place of the pod's own, and of the kernel's", () => {
    for (const target of ["/etc/hosts", "/dev/shm", "/sys", "/sys/fs/cgroup/"]) {
      const found = plan([mountAt(target)]).filter(
        ({ destination }) => destination === target.replace(/\/$/, ""),
      );
      assert.deepEqual(
        found.map(({ type }) => type),
        ["bind"],
        target,
      );
    }
    const below = targets([mountAt("/dev")]).filter((target) => target.startsWith("/dev"));
    assert.deepEqual(below, ["/dev"]);
  });

  it("says how each is bound", () => {
    assert.deepEqual(optionsAt([mountAt("/a")], "/a"), ["rbind", "rprivate", "rw"]);
    assert.deepEqual(optionsAt([mountAt("/a", { readOnly: true })], "/a"), ["rbind", "rprivate", "ro"]);
    const recursive = mountAt("/a", { readOnly: true, recursiveReadOnly: true });
    assert.deepEqual(optionsAt([recursive], "/a"), ["rbind", "rprivate", "ro", "rro"]);
    const slave = mountAt("/a", { propagation: "host-to-container", options: ["noexec", "nodev"] });
    assert.deepEqual(optionsAt([slave], "/a"), ["rbind", "rslave", "rw", "noexec", "nodev"]);
    assert.deepEqual(optionsAt([mountAt("/a", { propagation: "bidirectional" })], "/a")?.[1], "rshared");
  });

  it("shows /sys and cgroups read-only but to a privileged container, and files as the root is", () => {
    assert.ok(optionsAt([], "/sys")?.includes("ro"));
    assert.ok(optionsAt([], "/sys/fs/cgroup", { privileged: true })?.includes("rw"));
    assert.ok(optionsAt([], "/etc/resolv.conf")?.includes("rw"));
    assert.ok(optionsAt([], "/etc/resolv.conf", { readOnlyRoot: true })?.includes("ro"));
    assert.ok(!optionsAt([], "/dev/shm", { readOnlyRoot: true })?.includes("ro"));
  });

  for (const [what, mount] of [
    ["no absolute path", mountAt("a")],
    ["a path with a NUL", mountAt("/a\0/../../b")],
    ["the root", mountAt("/a/..")],
    ["/proc", mountAt("/proc/")],
    ["recursively read-only and writable", mountAt("/a", { recursiveReadOnly: true })],
    [
      "recursively read-only and a slave",
      mountAt("/a", { readOnly: true, recursiveReadOnly: true, propagation: "host-to-container" }),
    ],
    ["an option that nobody knows", mountAt("/a", { options: ["remount"] })],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => plan([mount]),
        (error) => hasReason(error, "bad-mount"),
      );
    });
  }

  it("gives no mount outside of the container's root, and throws nothing but KilnErrors", () => {
    const part = fc.constantFrom("", "/", ".", "..", "a", "proc", "dev", "\0", "\n", "/../");
    const text = fc.array(part, { maxLength: 8 }).map((parts) => parts.join("/"));
    fc.assert(
      fc.property(fc.array(text, { maxLength: 5 }), (asked) => {
        try {
          for (const target of targets(asked.map((each) => mountAt(each)))) {
            assert.ok(target.startsWith("/") && !target.includes("\0"), target);
            assert.ok(!target.split("/").includes(".."), target);
          }
        } catch (error) {
          assert.ok(error instanceof KilnError, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

it("the root's propagation is what its mounts need", () => {
  const slave = mountAt("/a", { propagation: "host-to-container" });
  const shared = mountAt("/b", { propagation: "bidirectional" });
  assert.equal(rootPropagation([mountAt("/c")]), undefined);
  assert.equal(rootPropagation([mountAt("/c"), slave]), "rslave");
  assert.equal(rootPropagation([slave, shared]), "rshared");
});
