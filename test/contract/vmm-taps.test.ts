// Cards whose taps the VMM has as descriptors: on bridges of a network namespace of the test, which the VMM never is in.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { UserNetworks } from "../../src/net/index.js";
import { type CardKind, type CardSpec, createQemuDriver, type VmmHandle } from "../../src/vmm/index.js";
import { kilnTapPath, netguardPath, passtPath } from "../fixtures/assets.js";
import { connectedDriver } from "../fixtures/connected-driver.js";
import { Namespaces } from "../fixtures/namespaces.js";
import type { GuestShell } from "../fixtures/vmm-guest.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";

const USER_CARD: CardSpec = { id: "eth0", mac: "02:00:00:00:00:01", backend: { kind: "stream" } };
const SENT_BYTES = 4 * MIB;
/** Gives a file to who calls at one port, and says the digest of what it is given at the other. */
const SERVER = `
  const net = require("node:net");
  const listen = (port, serve) => net.createServer({ allowHalfOpen: true }, serve).listen(port);
  listen(4000, (socket) => require("node:fs").createReadStream(process.argv[1]).pipe(socket));
  listen(4001, (socket) => {
    const hash = require("node:crypto").createHash("sha256");
    socket.on("data", (data) => hash.update(data)).on("end", () => socket.end(hash.digest("hex")));
  }).on("listening", () => console.log("begun"));
`;
/** How the kernel calls an open tap. */
const TAP = "/dev/net/tun";

const makeDriver: DriverFactory = (cacheDirectory, netguard = netguardPath(), confinement = {}) => {
  const networks = new UserNetworks({ netguard, passt: passtPath() });
  const userNetwork = (kind: CardKind) => networks.look(kind);
  return connectedDriver(createQemuDriver({ ...confinement, cacheDirectory, userNetwork }), networks);
};

const isRoot = process.getuid?.() === 0;

describe("qemu's taps as descriptors", {
  skip: !isRoot && "it takes root to make networks for tests",
}, () => {
  let bench: VmmBench;
  let net: Namespaces;
  let handle: VmmHandle;
  let shell: GuestShell;
  before(async () => {
    bench = await VmmBench.open(makeDriver);
    net = await Namespaces.hold(["unshare", "--net", "--mount"], ["--net", "--mount"]);
    net.ok(`mount -t tmpfs none /dev/net && mknod -m 600 ${TAP} c 10 200
        ip link add br1 type bridge && ip address add 10.99.1.1/24 dev br1 && ip link set br1 up
        ip link add br2 mtu 9000 type bridge && ip address add 10.99.2.1/24 dev br2 && ip link set br2 up`);
    const cards = [card(1, 1500), USER_CARD, card(2, 9000)];
    handle = await bench.launch({ cards, runAs: { uid: 54_321, gid: 54_321 } });
    shell = await shellOf(handle);
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
    await net[Symbol.asyncDispose]();
  });

  /** On bridge brN. */
  function card(bridge: number, mtu: number): CardSpec {
    const tap = ["--tap", `tap${bridge}`, "--bridge", `br${bridge}`, "--mtu", String(mtu)];
    return {
      ...{ id: `net${bridge}`, mac: `02:00:00:00:01:0${bridge}` },
      backend: {
        kind: "descriptor",
        around: (argv, fd) => [...net.prefix, kilnTapPath(), ...tap, "--at", String(fd), "--", ...argv],
      },
    };
  }

  it("are the guest's cards, in order, beside that of the user network", async () => {
    const addresses =
      "cat /sys/class/net/eth0/address /sys/class/net/eth1/address /sys/class/net/eth2/address";
    assert.deepEqual((await shell.output(addresses)).split("\n"), [
      "02:00:00:00:01:01",
      USER_CARD.mac,
      "02:00:00:00:01:02",
    ]);
  });

  it("carry the guest's packets to their bridges, as large as they may be", async () => {
    await shell.output("ip link set eth0 up && ip addr add 10.99.1.2/24 dev eth0");
    await shell.output("ip link set eth2 mtu 9000 up && ip addr add 10.99.2.2/24 dev eth2");
    await shell.output("ping -c 1 -W 20 10.99.1.1 && ping -c 1 -W 20 -s 8900 10.99.2.1");
    assert.match(net.ok("ip -o link show tap2"), / mtu 9000 /);
  });

  it("leave checksums and segments to the host, and change no byte on either way", async () => {
    const sent = randomBytes(SENT_BYTES);
    const path = join(bench.root, "sent");
    await writeFile(path, sent);
    assert.match(net.ok("ip -d link show tap1"), /vnet_hdr on/);
    const server = await net.start(`exec ${process.execPath} -e '${SERVER}' ${path}`, /begun/);
    const digest = createHash("sha256").update(sent).digest("hex");
    for (const address of ["10.99.1.1", "10.99.2.1"]) {
      const got = await shell.output(`nc ${address} 4000 </dev/null >/tmp/got; sha256sum </tmp/got`);
      assert.equal(got.split(" ")[0], digest, address);
      assert.equal(await shell.output(`nc ${address} 4001 </tmp/got`), digest, address);
    }
    server.kill();
  });

  it("are all that the VMM has of a network, and nobody else has them", async () => {
    const { pid } = handle.record.process;
    assert.notEqual(await readlink(`/proc/${pid}/ns/net`), await readlink(`/proc/${net.pid}/ns/net`));
    const open = await opened(pid);
    assert.equal(open.filter((path) => path === TAP).length, 2, open.join(" "));
    const known = /^(\/dev\/(null|kvm|net\/tun)|(socket|pipe|anon_inode):.*|\/memfd:.*|.* \(deleted\))$/;
    assert.deepEqual(
      open.filter((path) => !known.test(path)),
      [],
    );
    const holders: number[] = [];
    for (const entry of await readdir("/proc")) {
      if (/^\d+$/.test(entry) && (await holdsTap(Number(entry)))) holders.push(Number(entry));
    }
    assert.deepEqual(holders, [pid]);
  });

  it("go with the VMM", async () => {
    await handle.kill();
    assert.doesNotMatch(net.ok("ip -o link"), /tap/);
  });

  it("are there without a jail as well, and a refusal is the launch's", async () => {
    const confinement = { bwrap: "/bin/false", allowUnconfined: true };
    const jailless = makeDriver(join(bench.root, "cache"), undefined, confinement);
    const free = bench.adopt(await jailless.launch(await bench.spec({ cards: [card(1, 1500)] })));
    assert.ok((await opened(free.record.process.pid)).includes(TAP));
    const lost = bench.launch({ cards: [card(3, 1500)] });
    await assert.rejects(lost, /kiln-tap: make the tap tap3: there is no link br3/);
  });
});

/** What a process has open; of one that has ended nothing. */
async function opened(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const names = await readdir(directory).catch(() => []);
  return Promise.all(names.map((name) => readlink(join(directory, name)).catch(() => "")));
}

/** Whether one of its taps is of this test. Others of this host have theirs. */
async function holdsTap(pid: number): Promise<boolean> {
  const directory = `/proc/${pid}/fdinfo`;
  const names = await readdir(directory).catch(() => []);
  const texts = await Promise.all(
    names.map((name) => readFile(join(directory, name), "utf8").catch(() => "")),
  );
  return texts.some((text) => /^iff:\ttap[12]$/m.test(text));
}
