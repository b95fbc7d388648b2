import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import type { VmmSpec } from "../types.js";
import { planQemu, type QemuHost } from "./config.js";

const SPEC: VmmSpec = {
  vmId: "ab".repeat(32),
  runDirectory: "/run/kiln/v/0123456789abcdef",
  stateDirectory: "/var/lib/kiln/vms/x/vmm",
  kernel: "/k/vmlinux",
  initrd: "/k/initrd",
  kernelArgs: [],
  vcpus: 1,
  memoryBytes: 512 * 1024 * 1024,
  disks: [
    { id: "base", path: "/d/base,1.ext4", readOnly: true },
    { id: "cow", path: "/d/cow", readOnly: false },
  ],
};
const HOST: QemuHost = {
  program: "/usr/bin/qemu-system-x86_64",
  accelerator: "tcg",
  tscKhz: 2_596_128,
  uid: 1000,
  kvmGroup: undefined,
};

/** The value after an option; every value where it occurs more than once. */
function values(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (word === option ? [argv[index + 1] ?? ""] : []));
}

describe("planQemu", () => {
  it("tells a guest under TCG the counter's rate, and one under KVM nothing", () => {
    const [tcg] = values(planQemu(SPEC, HOST).argv, "-append");
    assert.match(tcg ?? "", / tsc_early_khz=2596128 tsc=reliable$/);
    const [kvm] = values(planQemu(SPEC, { ...HOST, accelerator: "kvm", kvmGroup: 108 }).argv, "-append");
    assert.doesNotMatch(kvm ?? "", /tsc/);
  });

  it("leaves the rate out where the host does not tell it", () => {
    assert.doesNotMatch(
      values(planQemu(SPEC, { ...HOST, tscKhz: undefined }).argv, "-append")[0] ?? "",
      /tsc/,
    );
  });

  it("appends the user's kernel arguments after its own, so that they win", () => {
    const [line] = values(planQemu({ ...SPEC, kernelArgs: ["loglevel=7"] }, HOST).argv, "-append");
    assert.match(line ?? "", /^console=ttyS0 .* quiet .* loglevel=7$/);
  });

  it("keeps the order of the disks, shares what is read-only, and stops the guest on a full host disk", () => {
    const { argv } = planQemu(SPEC, HOST);
    const nodes = values(argv, "-blockdev").map((text) => JSON.parse(text) as Record<string, unknown>);
    assert.deepEqual(
      nodes.map((node) => [node.driver, node["node-name"], node["read-only"], node.filename ?? node.file]),
      [
        ["file", "file-base", true, "/d/base,1.ext4"],
        ["raw", "disk-base", true, "file-base"],
        ["file", "file-cow", false, "/d/cow"],
        ["raw", "disk-cow", false, "file-cow"],
      ],
    );
    const drives = values(argv, "-device").filter((device) => device.startsWith("virtio-blk-device"));
    assert.deepEqual(drives, [
      "virtio-blk-device,drive=disk-base,serial=base,werror=enospc,rerror=report",
      "virtio-blk-device,drive=disk-cow,serial=cow,werror=enospc,rerror=report",
    ]);
  });

  it("doubles commas in socket paths", () => {
    const { argv } = planQemu({ ...SPEC, runDirectory: "/run/a,b" }, HOST);
    assert.ok(values(argv, "-chardev").includes("socket,id=qmp,path=/run/a,,b/qmp.sock,server=on,wait=off"));
  });

  it("starts stopped, in a sandbox, without rights", () => {
    const { argv } = planQemu(SPEC, HOST);
    assert.ok(argv.includes("-S"));
    assert.match(values(argv, "-sandbox")[0] ?? "", /spawn=deny/);
    assert.deepEqual(argv.slice(0, 4), ["setpriv", "--no-new-privs", "--", HOST.program]);
  });

  it("gives root's VMMs a user of their own and nothing else", () => {
    const { argv } = planQemu({ ...SPEC, runAs: { uid: 5000, gid: 5001 } }, { ...HOST, uid: 0 });
    assert.deepEqual(argv.slice(0, argv.indexOf("--")), [
      "setpriv",
      "--no-new-privs",
      "--bounding-set=-all",
      "--inh-caps=-all",
      "--clear-groups",
      "--reuid=5000",
      "--regid=5001",
    ]);
  });

  it("keeps the group of /dev/kvm for root's VMMs under KVM", () => {
    const { argv } = planQemu(SPEC, { ...HOST, uid: 0, accelerator: "kvm", kvmGroup: 108 });
    assert.ok(argv.includes("--groups=108"));
    assert.deepEqual(values(argv, "-cpu"), ["host"]);
  });

  it("adds the network card only where asked for, with its other end outside", () => {
    assert.deepEqual(values(planQemu(SPEC, HOST).argv, "-netdev"), []);
    const plan = planQemu({ ...SPEC, network: { mac: "02:00:00:00:00:01", mode: "user" } }, HOST);
    assert.deepEqual(values(plan.argv, "-netdev"), ["stream,id=net0,server=on,addr.type=fd,addr.str=3"]);
    assert.ok(plan.argv.includes("virtio-net-device,netdev=net0,mac=02:00:00:00:00:01"));
    assert.equal(plan.env.LD_PRELOAD, undefined);
  });

  it("hands nothing of the daemon's environment on", () => {
    assert.deepEqual(Object.keys(planQemu(SPEC, HOST).env).sort(), ["LANG", "PATH"]);
  });

  it("hides fast strings from a guest under software emulation only", () => {
    assert.deepEqual(values(planQemu(SPEC, HOST).argv, "-cpu"), ["max,erms=off,fsrm=off"]);
    assert.deepEqual(values(planQemu(SPEC, { ...HOST, accelerator: "kvm" }).argv, "-cpu"), ["host"]);
  });

  it("gives the translation cache a bound that grows with the vCPUs", () => {
    assert.match(values(planQemu(SPEC, HOST).argv, "-accel")[0] ?? "", /tb-size=64$/);
    assert.match(values(planQemu({ ...SPEC, vcpus: 8 }, HOST).argv, "-accel")[0] ?? "", /tb-size=128$/);
  });

  it("refuses a run directory in which no socket fits", () => {
    assert.throws(
      () => planQemu({ ...SPEC, runDirectory: `/${"x".repeat(98)}` }, HOST),
      (error) => hasReason(error, "socket-path-too-long"),
    );
  });
});
