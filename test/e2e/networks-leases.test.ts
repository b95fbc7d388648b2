// Guests that ask for their addresses, on a network of kiln's own and on one of CNI: busybox's client, and Debian with systemd whose
// networkd has a file of its own that takes every card.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { debianLayout } from "../fixtures/assets.js";
import { OUTSIDE } from "../fixtures/bridge-world.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { CniWorld, CONFIGS, OWN_PLUGINS, REAL_PLUGINS, usualPlugins } from "../fixtures/cni-world.js";
import { eventually, TestKiln } from "./harness.js";
import { systemdIsRunning } from "./systemd-guest.js";

const isRoot = process.getuid?.() === 0;

interface Attached {
  readonly ip: string;
  readonly ip6: string;
  readonly gateway: string;
}

/** What udhcpc was told, in one line. */
const TOLD = `#!/bin/sh
[ "$1" = bound ] && echo "$ip $router $dns $mtu $hostname"
exit 0
`;
const NETWORK = "[Match]\\nType=ether\\n[Network]\\nDHCP=yes\\n";

describe("guests that ask for their address", {
  skip: !isRoot && "it takes root to make hosts for tests",
}, () => {
  let world: CniWorld;
  let kiln: TestKiln;
  let image = "";
  before(async () => {
    world = await CniWorld.open();
    // tuning's is of one link by its name, and here it has another.
    const plugins = usualPlugins(1).filter(({ type }) => type !== "tuning");
    world.conflist("lan", "1.0.0", plugins);
    const env = { KILN_CNI_CONFIGS: CONFIGS, KILN_CNI_PLUGINS: `${OWN_PLUGINS}:${REAL_PLUGINS}` };
    kiln = await TestKiln.start({ daemonPrefix: world.host.prefix, env });
    kiln.env.KILN_HOST = `unix://${kiln.socket}`;
    image = await busyboxImage(`${kiln.root}/busybox`, {
      extra: [{ path: "told", data: TOLD, mode: 0o755 }],
    });
    await kiln.ok(["network", "create", "--ipv6", "-o", "mtu=1400", "blue"]);
  });
  after(async () => {
    await kiln.dispose();
    await world[Symbol.asyncDispose]();
  });

  const sh = (name: string, line: string) => kiln.kiln(["exec", name, "sh", "-c", line]);
  const networksOf = async (name: string): Promise<Attached[]> =>
    JSON.parse(await kiln.ok(["inspect", "-f", "{{json .status.networks}}", name]));

  for (const [network, mtu] of [
    ["blue", 1400],
    ["cni:lan", 1500],
  ] as const)
    it(`have it on ${network} by busybox's client, again once they let go of it, and under no other MAC`, async () => {
      const flags = ["-m", "128m", "--network", network, "--hostname", "asks", "--dns", "9.9.9.9"];
      await kiln.ok(["run", "-d", "-q", "--name", "asks", ...flags, image, "sleep", "100000"]);
      const [{ ip, gateway } = { ip: "", gateway: "" }] = await networksOf("asks");
      const asks = "busybox udhcpc -i eth0 -n -q -f -O mtu -O hostname -s /told 2>/dev/null";
      for (const more of ["", "-R", "-r 10.1.2.3"])
        assert.equal(
          (await sh("asks", `${asks} ${more}`)).stdout.trim(),
          `${ip} ${gateway} 9.9.9.9 ${mtu} asks`,
        );
      const other = await sh("asks", `ip link set eth0 address 02:00:00:00:00:99; ${asks} -t 2 -T 1`);
      assert.deepEqual([other.code, other.stdout], [1, ""]);
      await kiln.ok(["rm", "-f", "asks"]);
    });

  it("have it by systemd-networkd on every card, from boot on, and one way out", async () => {
    const flags = ["-m", "512m", "--network", "blue", "--network", "cni:lan"];
    await kiln.ok(["run", "-d", "--name", "system", ...flags, debianLayout("systemd")]);
    await systemdIsRunning(kiln, "system");
    const [blue, lan] = await networksOf("system");
    assert.ok(blue !== undefined && lan !== undefined);
    const enable = `printf '${NETWORK}' > /etc/systemd/network/80-all.network && systemctl enable --now systemd-networkd`;
    assert.equal((await sh("system", enable)).code, 0);
    const isWhole = async () => {
      const status = async (card: string) => (await sh("system", `networkctl status ${card}`)).stdout;
      const [eth0, eth1] = [await status("eth0"), await status("eth1")];
      const has = (text: string, { ip, ip6 }: Attached) =>
        text.includes(`${ip} (DHCP4 via`) && text.includes(ip6);
      const [first, second] = await networksOf("system");
      return (
        first !== undefined &&
        second !== undefined &&
        has(eth0, first) &&
        has(eth1, second) &&
        /Gateway: /.test(eth0) &&
        !/Gateway: /.test(eth1)
      );
    };
    for (const isFirst of [true, false]) {
      if (!isFirst) await kiln.ok(["restart", "-t", "60", "system"], { timeoutMs: 240_000 });
      await eventually("it has what is on record", async () => (await isWhole()) || undefined).catch(
        async (error) => assert.fail(`${error}${(await sh("system", "networkctl status eth0 eth1")).stdout}`),
      );
      for (const address of [OUTSIDE.ip4, OUTSIDE.ip6]) {
        const line = `timeout 10 bash -c 'exec 3<>/dev/tcp/${address}/80; head -n 1 <&3'`;
        // An address that networkd has just given is not used until it is known to be nobody else's.
        const heard = async () => (await sh("system", line)).stdout === "hello\n" || undefined;
        await eventually(`it reaches ${address}`, heard, 60_000).catch(async (error) =>
          assert.fail(
            `${error}${(await sh("system", "networkctl status eth0 eth1; cat /proc/net/ipv6_route")).stdout}`,
          ),
        );
      }
    }
    assert.deepEqual((await networksOf("system"))[0], blue, "the same after its next start");
    await kiln.ok(["rm", "-f", "system"]);
  });
});
