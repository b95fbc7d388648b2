import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Code as AnyCode, Code, hasReason, KilnError } from "../base/errors.js";
import { ContainerConfigSchema, MountPropagation, NamespaceMode } from "../gen/runtime/v1/api_pb.js";
import { toContainerSpec } from "./convert-container.js";

type Config = MessageInitShape<typeof ContainerConfigSchema>;

const PLACED = { mounts: ["/run/k/0", "/run/k/1"], pidPath: "/proc/7/ns/pid" };
const spec = (config: Config = {}) => toContainerSpec(create(ContainerConfigSchema, config), PLACED);
const resources = (asked: NonNullable<Config["linux"]>["resources"]) =>
  spec({ linux: { resources: asked } }).resources;

function refuses(config: Config, reason: string, code: AnyCode = Code.InvalidArgument) {
  assert.throws(
    () => spec(config),
    (error) => error instanceof KilnError && error.code === code && hasReason(error, reason),
    JSON.stringify(config, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
  );
}

describe("toContainerSpec", () => {
  it("of a container that asks for nothing limits nothing, in the pod's pid namespace", () => {
    const { security, resources, ...rest } = spec();
    assert.deepEqual(rest, {
      ...{ command: [], args: [], workdir: "", env: [], tty: false, mounts: [], devices: [] },
    });
    assert.deepEqual(security.pid, { kind: "join", path: "/proc/7/ns/pid" });
    assert.deepEqual(
      [security.privileged, security.user.uid, security.seccomp],
      [false, undefined, undefined],
    );
    assert.deepEqual([resources.memoryBytes, resources.cpuQuotaUs, resources.unified], [0, 0, {}]);
  });

  it("keeps variables as bytes", () => {
    const value = new Uint8Array([0xff, 0x00]);
    assert.deepEqual(spec({ envs: [{ key: "A", value }] }).env, [{ name: "A", value }]);
  });

  it("puts mounts where they are in the guest, images read-only", () => {
    const path = { containerPath: "/data", hostPath: "/srv", mountOptions: ["noexec"] };
    const propagation = MountPropagation.PROPAGATION_HOST_TO_CONTAINER;
    const image = { containerPath: "/models", image: { image: "m" } };
    const plain = { recursiveReadOnly: false };
    assert.deepEqual(spec({ mounts: [{ ...path, propagation }, image] }).mounts, [
      {
        ...{ source: "/run/k/0", target: "/data", readOnly: false, ...plain },
        ...{ propagation: "host-to-container", options: ["noexec"] },
      },
      {
        source: "/run/k/1",
        target: "/models",
        readOnly: true,
        ...plain,
        propagation: "private",
        options: [],
      },
    ]);
  });

  it("refuses mounts that are nothing, or can't be had yet", () => {
    const mount = { containerPath: "/a", hostPath: "/b" };
    refuses({ mounts: [{ containerPath: "/a" }] }, "bad-container");
    refuses({ mounts: [{ ...mount, image: { image: "x" } }] }, "bad-container");
    refuses({ mounts: [{ ...mount, propagation: 9 as MountPropagation }] }, "bad-container");
    const uidMappings = [{ hostId: 1, containerId: 0, length: 1 }];
    refuses({ mounts: [{ ...mount, uidMappings }] }, "cri-unimplemented", Code.Unimplemented);
  });

  it("takes the guest's own devices", () => {
    const fuse = { hostPath: "/dev/fuse", containerPath: "", permissions: "" };
    assert.deepEqual(spec({ devices: [fuse] }).devices, [
      { source: "/dev/fuse", target: "/dev/fuse", permissions: "rwm" },
    ]);
    for (const hostPath of ["/etc/passwd", "/dev/../etc/passwd", "dev/fuse", "/dev/", "/dev/a\0b"]) {
      refuses({ devices: [{ hostPath, containerPath: "/dev/x" }] }, "bad-container");
    }
    refuses({ devices: [{ ...fuse, permissions: "rwx" }] }, "bad-container");
    refuses({ CDIDevices: [{ name: "vendor/class=one" }] }, "not-in-a-vm", Code.FailedPrecondition);
  });

  it("takes limits, and what is beyond all of them for none", () => {
    const taken = resources({
      ...{ cpuPeriod: 100_000n, cpuQuota: -1n, cpuShares: 512n, cpusetCpus: "0-2,4", oomScoreAdj: -998n },
      ...{ memoryLimitInBytes: 2n ** 63n - 1n, hugepageLimits: [{ pageSize: "2MB", limit: 2n ** 64n - 1n }] },
      unified: { "memory.oom.group": "1", "hugetlb.2MB.max": "0" },
    });
    assert.deepEqual([taken.cpuPeriodUs, taken.cpuQuotaUs, taken.cpuShares], [100_000, -1, 512]);
    assert.deepEqual([taken.cpus, taken.oomScoreAdj], ["0-2,4", -998]);
    assert.equal(taken.memoryBytes, Number.MAX_SAFE_INTEGER);
    assert.deepEqual(taken.hugePages, { "2MB": Number.MAX_SAFE_INTEGER });
    assert.deepEqual(taken.unified, { "memory.oom.group": "1", "hugetlb.2MB.max": "0" });
  });

  it("refuses limits that are none", () => {
    refuses({ linux: { resources: { cpusetCpus: "all" } } }, "bad-container");
    refuses({ linux: { resources: { oomScoreAdj: 1001n } } }, "bad-container");
    for (const name of ["../cgroup.procs", "cgroup/x", "a b.c", "", "memory"]) {
      refuses({ linux: { resources: { unified: { [name]: "1" } } } }, "bad-container");
    }
  });

  it("refuses what is of Windows, or of the host", () => {
    refuses({ windows: {} }, "bad-container");
    for (const namespaceOptions of [{ network: NamespaceMode.NODE }, { ipc: NamespaceMode.NODE }]) {
      const linux = { securityContext: { namespaceOptions } };
      refuses({ linux }, "not-in-a-vm", Code.FailedPrecondition);
    }
  });
});
