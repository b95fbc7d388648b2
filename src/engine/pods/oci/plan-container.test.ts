import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CONTAINER, IMAGE_RUN, mountAt, POD, SECURITY } from "../../../../test/fixtures/container-spec.js";
import type { ContainerSecurity, ContainerSpec } from "../containers/spec.js";
import { planContainer } from "./plan-container.js";

const plan = (spec: Partial<ContainerSpec> = {}, pod = POD) =>
  planContainer("c1", { ...CONTAINER, ...spec }, IMAGE_RUN, pod);
const secured = (security: Partial<ContainerSecurity>) => plan({ security: { ...SECURITY, ...security } });

describe("planContainer", () => {
  it("says all that crun needs of a container that asks for nothing", () => {
    const { config, user, devices, rawEnvironment, allDevices } = plan();
    assert.deepEqual(config.process.args, ["/main"]);
    assert.deepEqual(config.process.rlimits, POD.rlimits);
    assert.equal(config.process.oomScoreAdj, 0);
    assert.deepEqual(config.root, { path: "rootfs", readonly: false });
    assert.equal(config.linux.cgroupsPath, "/kubepods/c1");
    assert.deepEqual(config.linux.namespaces, [{ type: "mount" }, { type: "pid" }, { type: "cgroup" }]);
    assert.deepEqual(user, { user: "", group: "", supplementalGroups: [], imageGroups: true });
    assert.deepEqual([devices, rawEnvironment, allDevices], [[], [], false]);
  });

  it("is JSON without a word that says nothing", () => {
    const text = JSON.stringify(plan().config);
    assert.doesNotMatch(text, /noNewPrivileges|seccomp|rootfsPropagation|null/);
    assert.equal(JSON.parse(text).ociVersion, "1.0.2");
  });

  it("joins the pid namespace that it is told of, or has the guest's", () => {
    const pids = (pid: ContainerSecurity["pid"]) =>
      secured({ pid }).config.linux.namespaces.filter(({ type }) => type === "pid");
    assert.deepEqual(pids({ kind: "join", path: "/proc/7/ns/pid" }), [
      { type: "pid", path: "/proc/7/ns/pid" },
    ]);
    assert.deepEqual(pids({ kind: "guest" }), []);
  });

  it("joins all namespaces of a pod with users of its own", () => {
    const namespaces = { user: "/n/user", network: "/n/net", ipc: "/n/ipc", uts: "/n/uts" };
    const joined = plan({}, { ...POD, namespaces }).config.linux.namespaces.filter(
      ({ path }) => path !== undefined,
    );
    assert.deepEqual(
      joined.map(({ type, path }) => `${type} ${path}`),
      ["user /n/user", "network /n/net", "ipc /n/ipc", "uts /n/uts"],
    );
  });

  it("has what protects it", () => {
    const seccomp = { defaultAction: "SCMP_ACT_ERRNO" };
    const paths = { maskedPaths: ["/proc/kcore"], readOnlyPaths: ["/proc/sys"] };
    const { config } = secured({ ...paths, seccomp, noNewPrivileges: true, readOnlyRoot: true });
    assert.equal(config.process.noNewPrivileges, true);
    assert.equal(config.root.readonly, true);
    assert.deepEqual(config.linux.seccomp, seccomp);
    assert.deepEqual(config.linux.maskedPaths, ["/proc/kcore"]);
    assert.deepEqual(config.linux.readonlyPaths, ["/proc/sys"]);
  });

  it("is privileged in the guest: nothing is masked, filtered or denied, and cgroups are the guest's", () => {
    const paths = { maskedPaths: ["/proc/kcore"], readOnlyPaths: ["/proc/sys"] };
    const { config, allDevices } = secured({ ...paths, privileged: true, seccomp: { defaultAction: "x" } });
    assert.deepEqual([config.linux.maskedPaths, config.linux.readonlyPaths], [[], []]);
    assert.equal(config.linux.seccomp, undefined);
    assert.equal(config.process.capabilities.effective.length, 41);
    assert.deepEqual(config.linux.resources.devices, [{ allow: true, access: "rwm" }]);
    assert.deepEqual(config.linux.namespaces, [{ type: "mount" }, { type: "pid" }]);
    assert.equal(allDevices, true);
  });

  it("lets mounts of the guest's show later where one asks for that", () => {
    const mounts = [mountAt("/a", { propagation: "host-to-container" })];
    assert.equal(plan({ mounts }).config.linux.rootfsPropagation, "rslave");
  });
});
