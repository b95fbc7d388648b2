// Cards that a jailed QEMU gets and loses while its guest runs: their taps are on a bridge of a network namespace of the test's.

import assert from "node:assert/strict";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import { type CardSpec, createQemuDriver, type VmmHandle, type VmmSpec } from "../../src/vmm/index.js";
import { QmpClient } from "../../src/vmm/qemu/client.js";
import { kilnTapPath, sendfdPath } from "../fixtures/assets.js";
import { Namespaces } from "../fixtures/namespaces.js";
import { type GuestShell, makeTestGuest, PCI_MODULES } from "../fixtures/vmm-guest.js";
import { type DriverFactory, shellOf, VmmBench } from "./vmm-bench.js";

const TAP = "/dev/net/tun";

const makeDriver: DriverFactory = (cacheDirectory) =>
  createQemuDriver({ cacheDirectory, sendfd: sendfdPath() });

const isRoot = process.getuid?.() === 0;

describe("qemu's cards of a running VM", {
  skip: !isRoot && "it takes root to make networks for tests",
}, () => {
  let bench: VmmBench;
  let net: Namespaces;
  let spec: VmmSpec;
  let handle: VmmHandle;
  let shell: GuestShell;
  before(async () => {
    bench = await VmmBench.open(makeDriver, (root) => makeTestGuest(root, PCI_MODULES));
    net = await Namespaces.hold(["unshare", "--net", "--mount"], ["--net", "--mount"]);
    net.ok(`mount -t tmpfs none /dev/net && mknod -m 600 ${TAP} c 10 200
        ip link add br1 type bridge && ip address add 10.99.1.1/24 dev br1 && ip link set br1 up`);
    spec = await bench.spec({
      ...{ cards: [card(0)], hotplugCards: true },
      runAs: { uid: 54_321, gid: 54_321 },
    });
    handle = bench.adopt(await bench.newDriver().launch(spec));
    shell = await shellOf(handle);
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
    await net[Symbol.asyncDispose]();
  });

  function card(index: number): CardSpec {
    const tap = ["--tap", `tap${index}`, "--bridge", "br1", "--mtu", "1500"];
    return {
      ...{ id: `net${index}`, mac: macOf(index) },
      backend: {
        kind: "descriptor",
        around: (argv, fd) => [...net.prefix, kilnTapPath(), ...tap, "--at", String(fd), "--", ...argv],
      },
    };
  }

  const macOf = (index: number) => `02:00:00:00:01:0${index}`;
  const hot = () => handle.hotCards ?? assert.fail("it has none");
  const taps = (): string[] => net.ok("ip -o link").match(/\btap\d/g) ?? [];
  /** The link of a card, once it is there. */
  const linkOf = (index: number) =>
    shell.output(
      `until n=$(grep -l ${macOf(index)} /sys/class/net/*/address); do sleep 0.05; done; basename $(dirname $n)`,
    );
  /** Until the guest has no such card. */
  const untilGone = (index: number) =>
    shell.output(`while grep -q ${macOf(index)} /sys/class/net/*/address; do sleep 0.05; done`);
  const reaches = async (index: number, address: string) => {
    const link = await linkOf(index);
    await shell.output(`ip link set ${link} up && ip address add ${address}/24 dev ${link}`);
    return (await shell.run(`ping -c 1 -W 20 10.99.1.1`)).status === 0;
  };

  it("come while the guest runs, and go, and their taps with them", async () => {
    assert.equal(handle.record.capabilities.hotplugCards, 4);
    assert.deepEqual([await hot().find("net0"), await hot().find("net1")], ["launched", undefined]);
    await hot().attach(card(1));
    assert.equal(await hot().find("net1"), "come");
    assert.ok(await reaches(1, "10.99.1.2"));
    await hot().cut("net1");
    assert.deepEqual([await hot().find("net1"), taps()], [undefined, ["tap0"]]);
    assert.ok(await hot().remove("net1"), "the guest lets go by itself");
    await untilGone(1);
  });

  it("are refused by who makes the tap, and nothing stays of it", async () => {
    const lost = {
      ...card(1),
      backend: { kind: "descriptor" as const, around: () => ["/bin/sh", "-c", "echo no >&2; exit 125"] },
    };
    await assert.rejects(
      hot().attach(lost),
      (error) => hasReason(error, "network-failed") && /no/.test(String(error)),
    );
    await hot().attach(card(1));
    assert.deepEqual(taps().sort(), ["tap0", "tap1"]);
  });

  it("are found and taken by a later kilnd, and given anew where one was killed in the middle", async () => {
    await handle.detach();
    handle = bench.adopt(await bench.newDriver().reattach(handle.record, spec));
    assert.equal(await hot().find("net1"), "come");
    await hot().cut("net1");
    await handle.detach();
    const qmp = await QmpClient.connect(join(spec.runDirectory, "qmp.sock"), () => undefined);
    const { backend } = card(2);
    assert.ok(backend.kind === "descriptor");
    await qmp.executeWithTap(backend.around, sendfdPath(), "getfd", { fdname: "hot-net2" });
    qmp.close();
    handle = bench.adopt(await bench.newDriver().reattach(handle.record, spec));
    shell = await shellOf(handle);
    assert.ok(taps().includes("tap2"), "nobody's yet");
    await hot().attach(card(2));
    assert.ok(await reaches(2, "10.99.1.3"));
  });

  it("are cut off of a guest that stands still, which lets go of them when it goes on", async () => {
    await handle.pause();
    await hot().cut("net2");
    assert.deepEqual([await hot().find("net2"), taps()], [undefined, ["tap0"]]);
    assert.equal(await hot().remove("net2"), false, "its slot is taken");
    await handle.resume();
    await untilGone(2);
    assert.ok(await hot().remove("net2"));
    await hot().attach(card(2));
    assert.ok(await reaches(2, "10.99.1.3"));
  });

  it("that the VM was launched with are cut off too", async () => {
    await hot().cut("net0");
    assert.ok(await hot().remove("net0"));
    assert.deepEqual([await hot().find("net0"), taps()], [undefined, ["tap2"]]);
  });

  it("are all that the VMM has of a network, and go with it", async () => {
    const { pid } = handle.record.process;
    assert.notEqual(await readlink(`/proc/${pid}/ns/net`), await readlink(`/proc/${net.pid}/ns/net`));
    const names = await readdir(`/proc/${pid}/fd`);
    const open = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")));
    assert.equal(open.filter((path) => path === TAP).length, 1);
    await handle.kill();
    assert.deepEqual(taps(), []);
  });

  it("are refused where it was launched without a place", async () => {
    const plain = bench.adopt(await bench.newDriver().launch(await bench.spec()));
    assert.equal(plain.record.capabilities.hotplugCards, 0);
    await assert.rejects(plain.hotCards?.attach(card(1)) ?? assert.fail(), (error) =>
      hasReason(error, "no-hotplug"),
    );
    await plain.kill();
  });
});
