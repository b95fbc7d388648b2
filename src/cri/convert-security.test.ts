import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { hasReason } from "../base/errors.js";
import {
  LinuxContainerSecurityContextSchema,
  NamespaceMode,
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy,
} from "../gen/runtime/v1/api_pb.js";
import { seccompOf, toSecurity } from "./convert-security.js";

type Context = MessageInitShape<typeof LinuxContainerSecurityContextSchema>;

const contextOf = (asked: Context) => create(LinuxContainerSecurityContextSchema, asked);
const secure = (asked: Context) => toSecurity(contextOf(asked), { pidPath: "/p" });
const seccomp = (asked: Context) => seccompOf(contextOf(asked));

function refuses(asked: Context, reason: string) {
  assert.throws(
    () => secure(asked),
    (error) => hasReason(error, reason),
  );
}

describe("toSecurity", () => {
  it("takes the user, by number and name, and the groups", () => {
    const asked = { runAsUser: { value: 0n }, runAsGroup: { value: 5n }, supplementalGroups: [7n, 8n] };
    const supplementalGroupsPolicy = SupplementalGroupsPolicy.Strict;
    assert.deepEqual(secure({ ...asked, supplementalGroupsPolicy }).user, {
      ...{ uid: 0, name: undefined, gid: 5, supplementalGroups: [7, 8], groupsPolicy: "strict" },
    });
    assert.equal(secure({ runAsUsername: "daemon" }).user.name, "daemon");
    assert.equal(secure({}).user.groupsPolicy, "merge");
  });

  it("refuses ids that are none", () => {
    for (const value of [-1n, 2n ** 32n - 1n, 2n ** 40n]) {
      refuses({ runAsUser: { value } }, "bad-container");
      refuses({ supplementalGroups: [value] }, "bad-container");
    }
  });

  it("takes capabilities, paths and switches as they are", () => {
    const capabilities = { addCapabilities: ["A"], dropCapabilities: ["B"], addAmbientCapabilities: ["C"] };
    const paths = { maskedPaths: ["/proc/kcore"], readonlyPaths: ["/proc/sys"] };
    const taken = secure({
      capabilities,
      ...paths,
      readonlyRootfs: true,
      noNewPrivs: true,
      privileged: true,
    });
    assert.deepEqual(taken.capabilities, { add: ["A"], drop: ["B"], ambient: ["C"] });
    assert.deepEqual([taken.maskedPaths, taken.readOnlyPaths], [["/proc/kcore"], ["/proc/sys"]]);
    assert.deepEqual([taken.readOnlyRoot, taken.noNewPrivileges, taken.privileged], [true, true, true]);
    for (const path of ["proc", "/proc/../etc", "/a\0"]) refuses({ maskedPaths: [path] }, "bad-container");
  });

  it("knows whose processes are seen", () => {
    const pid = (mode: NamespaceMode) => secure({ namespaceOptions: { pid: mode } }).pid;
    assert.deepEqual(pid(NamespaceMode.CONTAINER), { kind: "own" });
    assert.deepEqual(pid(NamespaceMode.NODE), { kind: "guest" });
    assert.deepEqual(pid(NamespaceMode.POD), { kind: "join", path: "/p" });
    assert.deepEqual(pid(NamespaceMode.TARGET), { kind: "join", path: "/p" });
  });

  it("takes the VM for AppArmor's default, and refuses other profiles and labels", () => {
    for (const asked of [
      { apparmor: { profileType: Profile.RuntimeDefault } },
      { apparmor: { profileType: Profile.Unconfined } },
      { apparmorProfile: "runtime/default" },
      { selinuxOptions: {} },
      // A privileged container is held by neither anywhere.
      { privileged: true, apparmorProfile: "localhost/mine" },
    ]) {
      assert.ok(secure(asked));
    }
    refuses({ apparmor: { profileType: Profile.Localhost, localhostRef: "mine" } }, "not-in-a-vm");
    refuses({ apparmorProfile: "localhost/mine" }, "not-in-a-vm");
    refuses({ selinuxOptions: { level: "s0:c1,c2" } }, "not-in-a-vm");
  });
});

describe("seccompOf", () => {
  it("is what is asked for, by the newer field before the older text", () => {
    const localhost = { profileType: Profile.Localhost, localhostRef: "/var/lib/kubelet/seccomp/p.json" };
    assert.deepEqual(seccomp({}), { kind: "none" });
    assert.deepEqual(seccomp({ seccomp: { profileType: Profile.RuntimeDefault } }), { kind: "default" });
    assert.deepEqual(seccomp({ seccomp: { profileType: Profile.Unconfined } }), { kind: "none" });
    assert.deepEqual(seccomp({ seccomp: localhost, seccompProfilePath: "unconfined" }), {
      ...{ kind: "file", path: "/var/lib/kubelet/seccomp/p.json" },
    });
    assert.deepEqual(seccomp({ seccompProfilePath: "docker/default" }), { kind: "default" });
    assert.deepEqual(seccomp({ seccompProfilePath: "localhost//p.json" }), { kind: "file", path: "/p.json" });
    assert.deepEqual(seccomp({ seccompProfilePath: "localhost//p.json", privileged: true }), {
      kind: "none",
    });
  });

  it("refuses a profile that is at no place", () => {
    for (const asked of [
      { seccompProfilePath: "mine" },
      { seccomp: { profileType: Profile.Localhost, localhostRef: "p.json" } },
      { seccomp: { profileType: Profile.Localhost, localhostRef: "/a/../../etc/shadow" } },
      { seccomp: { profileType: 7 as Profile } },
    ]) {
      assert.throws(
        () => seccomp(asked),
        (error) => hasReason(error, "bad-container"),
      );
    }
  });
});
