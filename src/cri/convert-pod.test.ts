import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { hasReason, KilnError } from "../base/errors.js";
import {
  NamespaceMode,
  PodSandboxConfigSchema,
  PodSandboxMetadataSchema,
  Protocol,
} from "../gen/runtime/v1/api_pb.js";
import { toPodSpec } from "./convert-pod.js";

type Config = MessageInitShape<typeof PodSandboxConfigSchema>;

const METADATA = { name: "web", namespace: "shop", uid: "u-1", attempt: 2 };
const RANGE = { containerId: 0, hostId: 100_000, length: 65_536 };

function spec(config: Config = {}) {
  const message = create(PodSandboxConfigSchema, config);
  message.metadata ??= create(PodSandboxMetadataSchema, METADATA);
  return toPodSpec(message);
}

function refuses(config: Config, reason = "bad-pod") {
  assert.throws(
    () => spec(config),
    (error) => error instanceof KilnError && hasReason(error, reason),
    JSON.stringify(config),
  );
}

const usersOf = (usernsOptions: object) => ({
  linux: { securityContext: { namespaceOptions: { usernsOptions } } },
});

describe("toPodSpec", () => {
  it("of a pod that asks for nothing", () => {
    assert.deepEqual(spec(), {
      ...{ ...METADATA, hostname: "", logDirectory: "", dns: undefined, ports: [], sysctls: {} },
      ...{ cgroupParent: "", wished: { memoryBytes: undefined, cpus: undefined }, users: undefined },
      resources: { memoryBytes: undefined, cpus: undefined, cpuRequest: undefined },
      overhead: { memoryBytes: undefined, cpus: undefined, cpuRequest: undefined },
    });
  });

  it("takes its limits, its overhead and what its annotations wish", () => {
    const resources = {
      memoryLimitInBytes: 33_554_432n,
      cpuQuota: 50_000n,
      cpuPeriod: 100_000n,
      cpuShares: 256n,
    };
    const linux = {
      cgroupParent: "/kubepods/pod1",
      resources,
      overhead: { memoryLimitInBytes: 41_943_040n },
    };
    const taken = spec({ linux, annotations: { "kiln.dev/memory": "1g", "kiln.dev/cpus": "3", other: "x" } });
    assert.deepEqual(taken.resources, { memoryBytes: 33_554_432, cpus: 0.5, cpuRequest: 0.25 });
    assert.equal(taken.overhead.memoryBytes, 41_943_040);
    assert.equal(taken.cgroupParent, "/kubepods/pod1");
    assert.deepEqual(taken.wished, { memoryBytes: 1024 ** 3, cpus: 3 });
    for (const cpus of ["0", "1.5", "many", "-1"]) refuses({ annotations: { "kiln.dev/cpus": cpus } });
  });

  it("takes ports of the host's, and leaves out those of none", () => {
    const udp = { protocol: Protocol.UDP, containerPort: 53, hostPort: 5353, hostIp: "127.0.0.1" };
    assert.deepEqual(spec({ portMappings: [{ containerPort: 80, hostPort: 0 }, udp] }).ports, [
      { protocol: "udp", podPort: 53, hostPort: 5353, hostIp: "127.0.0.1" },
    ]);
    refuses({ portMappings: [{ ...udp, hostPort: 65_536 }] });
    refuses({ portMappings: [{ ...udp, containerPort: 0 }] });
    refuses({ portMappings: [{ ...udp, hostIp: "localhost" }] });
    refuses({ portMappings: [{ ...udp, protocol: 9 as Protocol }] });
  });

  it("takes words of resolv.conf, and no lines", () => {
    const dns = {
      servers: ["10.96.0.10", "fd00::a"],
      searches: ["shop.svc.cluster.local"],
      options: ["ndots:5"],
    };
    assert.deepEqual(spec({ dnsConfig: dns }).dns, dns);
    assert.equal(spec({ dnsConfig: {} }).dns, undefined);
    refuses({ dnsConfig: { servers: ["10.96.0.10\nnameserver 6.6.6.6"] } });
    refuses({ dnsConfig: { searches: ["a b"] } });
    refuses({ dnsConfig: { options: ["ndots:5\n"] } });
  });

  it("takes sysctls by their names", () => {
    const sysctls = { "kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "1024 65000" };
    assert.deepEqual(spec({ linux: { sysctls } }).sysctls, sysctls);
    for (const name of ["", "kernel", "../x", "kernel..x", "/proc/sys/kernel.x", "a.b\0"]) {
      refuses({ linux: { sysctls: { [name]: "1" } } });
    }
    refuses({ linux: { sysctls: { "kernel.x": "1\n2" } } });
  });

  it("takes one range of users, with root in it", () => {
    const { POD, NODE, CONTAINER, TARGET } = NamespaceMode;
    assert.deepEqual(spec(usersOf({ mode: POD, uids: [RANGE], gids: [RANGE] })).users, {
      ...{ first: 100_000, length: 65_536 },
    });
    assert.equal(spec(usersOf({ mode: NODE })).users, undefined);
    for (const mode of [CONTAINER, TARGET]) refuses(usersOf({ mode, uids: [RANGE], gids: [RANGE] }));
    refuses(usersOf({ mode: POD }));
    refuses(usersOf({ mode: POD, uids: [RANGE, RANGE], gids: [RANGE] }));
    refuses(usersOf({ mode: POD, uids: [RANGE], gids: [{ ...RANGE, hostId: 1 }] }));
    for (const wrong of [{ containerId: 1 }, { length: 0 }, { hostId: 2 ** 32 - 1 }]) {
      const range = { ...RANGE, ...wrong };
      refuses(usersOf({ mode: POD, uids: [range], gids: [range] }));
    }
  });

  it("refuses what a VM can't be, and what is nothing", () => {
    for (const namespaceOptions of [{ network: NamespaceMode.NODE }, { ipc: NamespaceMode.NODE }]) {
      refuses({ linux: { securityContext: { namespaceOptions } } }, "not-in-a-vm");
    }
    refuses({ windows: {} });
    refuses({ metadata: { name: "" } });
    for (const hostname of ["a b", "a\n", "x".repeat(65), "a_b"]) refuses({ hostname });
    for (const logDirectory of ["logs", "/var/../etc", "/a\0"]) refuses({ logDirectory });
  });
});
