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
  cards: [],
  ports: [],
};
const HOST: QemuHost = {
  accelerator: "tcg",
  tscKhz: 2_596_128,
};
const PROGRAM = "/usr/bin/qemu-system-x86_64";

/** QEMU's words in a jail. */
function words(spec: VmmSpec, host: QemuHost): readonly string[] {
  return planQemu(spec, host).command(PROGRAM, ({ at }) => at);
}

/** The value after an option; every value where it occurs more than once. */
function values(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (word === option ? [argv[index + 1] ?? ""] : []));
}

describe("planQemu", () => {
  it("tells a guest under TCG the counter's rate, and one under KVM nothing", () => {
    const [tcg] = values(words(SPEC, HOST), "-append");
    assert.match(tcg ?? "", / tsc_early_khz=2596128 tsc=reliable$/);
    const [kvm] = values(words(SPEC, { ...HOST, accelerator: "kvm" }), "-append");
    assert.doesNotMatch(kvm ?? "", /tsc/);
  });

  it("leaves the rate out where the host does not tell it", () => {
    assert.doesNotMatch(values(words(SPEC, { ...HOST, tscKhz: undefined }), "-append")[0] ?? "", /tsc/);
  });

  it("appends the user's kernel arguments after its own, so that they win", () => {
    const [line] = values(words({ ...SPEC, kernelArgs: ["loglevel=7"] }, HOST), "-append");
    assert.match(line ?? "", /^console=ttyS0 .* quiet .* loglevel=7$/);
  });

  it("has its sockets as descriptors and names no path of the host", () => {
    const argv = words(SPEC, HOST);
    assert.deepEqual(values(argv, "-chardev"), [
      "socket,id=console,fd=4,server=on,wait=off",
      "socket,id=channel,fd=5,server=on,wait=off",
      "socket,id=qmp,fd=3,server=on,wait=off",
    ]);
    const host = argv.filter((word) => /\/(run|var|k|d)\//.test(word));
    assert.deepEqual(host, []);
  });

  it("starts stopped, in a sandbox", () => {
    const argv = words(SPEC, HOST);
    assert.ok(argv.includes("-S"));
    assert.match(values(argv, "-sandbox")[0] ?? "", /spawn=deny/);
    assert.equal(argv[0], PROGRAM);
  });

  it("adds the network card only where asked for, with its other end outside", () => {
    assert.deepEqual(values(words(SPEC, HOST), "-netdev"), []);
    const spec: VmmSpec = {
      ...SPEC,
      cards: [{ id: "eth0", mac: "02:00:00:00:00:01", backend: { kind: "stream" } }],
    };
    const argv = words(spec, HOST);
    assert.equal(planQemu(spec, HOST).listeners.indexOf("net.sock"), 3);
    assert.deepEqual(values(argv, "-netdev"), ["stream,id=eth0,server=on,addr.type=fd,addr.str=6"]);
    assert.ok(argv.includes("virtio-net-device,netdev=eth0,mac=02:00:00:00:00:01"));
  });

  it("adds cards whose taps it inherits, in their order, with nothing that listens for them", () => {
    const card = (id: string) => ({
      ...{ id, mac: `02:00:00:00:00:0${id.at(-1)}` },
      backend: { kind: "descriptor" as const, around: (argv: readonly string[]) => argv },
    });
    const spec: VmmSpec = { ...SPEC, cards: [card("net0"), card("net1")] };
    const argv = words(spec, HOST);
    assert.ok(!planQemu(spec, HOST).listeners.includes("net.sock"));
    assert.deepEqual(values(argv, "-netdev"), [
      "tap,id=net0,fd=512,vhost=off",
      "tap,id=net1,fd=513,vhost=off",
    ]);
    assert.ok(argv.includes("virtio-net-device,netdev=net1,mac=02:00:00:00:00:01"));
  });

  it("has slots for cards that come later only where they are asked for", () => {
    const [plain, slotted] = [words(SPEC, HOST), words({ ...SPEC, hotplugCards: true }, HOST)];
    const ports = (argv: readonly string[]) => argv.filter((word) => word.startsWith("pcie-root-port,"));
    assert.match(values(plain, "-M")[0] ?? "", /pcie=off/);
    assert.match(values(slotted, "-M")[0] ?? "", /pcie=on/);
    assert.deepEqual([ports(plain).length, ports(slotted).length], [0, 4]);
    assert.deepEqual(
      [plain, slotted].map((argv) => / pcie_ports=native( |$)/.test(values(argv, "-append")[0] ?? "")),
      [false, true],
    );
  });

  it("gives each port a place on the channel's device and a socket that listens already", () => {
    const spec: VmmSpec = { ...SPEC, ports: [{ id: "src" }, { id: "tmp" }] };
    const argv = words(spec, HOST);
    assert.deepEqual(planQemu(spec, HOST).listeners.slice(3), ["port-src.sock", "port-tmp.sock"]);
    assert.ok(argv.includes("virtio-serial-device,max_ports=4"));
    assert.ok(argv.includes("socket,id=port-tmp,fd=7,server=on,wait=off"));
    assert.ok(argv.includes("virtserialport,chardev=port-tmp,name=kiln.port.tmp,id=port-tmp"));
    assert.ok(words(SPEC, HOST).includes("virtio-serial-device,max_ports=2"));
  });

  it("hides fast strings from a guest under software emulation only", () => {
    assert.deepEqual(values(words(SPEC, HOST), "-cpu"), ["max,erms=off,fsrm=off"]);
    assert.deepEqual(values(words(SPEC, { ...HOST, accelerator: "kvm" }), "-cpu"), ["host"]);
  });

  it("gives the translation cache a bound that grows with the vCPUs", () => {
    assert.match(values(words(SPEC, HOST), "-accel")[0] ?? "", /tb-size=64$/);
    assert.match(values(words({ ...SPEC, vcpus: 8 }, HOST), "-accel")[0] ?? "", /tb-size=128$/);
  });

  it("hands over every disk's file, wherever it hangs", () => {
    const disks = Array.from({ length: 30 }, (_, index) => ({
      id: `d${index}`,
      path: `/d/${index}`,
      readOnly: true,
    }));
    const { files } = planQemu({ ...SPEC, disks }, HOST);
    assert.deepEqual(
      files.slice(2).map(({ path, at }) => [path, at]),
      disks.map(({ id, path }) => [path, `/disk-${id}`]),
    );
  });

  it("refuses a run directory in which no socket fits", () => {
    assert.throws(
      () => planQemu({ ...SPEC, runDirectory: `/${"x".repeat(98)}` }, HOST),
      (error) => hasReason(error, "socket-path-too-long"),
    );
  });
});
