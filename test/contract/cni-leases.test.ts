// A guest on a CNI network that asks for its address, as one in system mode does: by busybox's client and by systemd-networkd, on a
// host of the test's own (cni-world), through the tap that a VMM would have.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import type { CniCard, CniJoined } from "../../src/net/types.js";
import { eventually } from "../fixtures/bridge-guests.js";
import { type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import type { CniAsk } from "../fixtures/cni-driver.js";
import { addressIn, CniWorld, cniCard, ptpPlugins, usualPlugins } from "../fixtures/cni-world.js";
import { addressesOf, DhcpGuest, noNetworkd } from "../fixtures/dhcp-guest.js";

const isRoot = process.getuid?.() === 0;
const LEASE = {
  hostname: "web",
  dns: ["10.30.2.53", "fd30:a2::53"],
  search: ["blue", "b.test"],
  routed: { v4: false, v6: false },
};

for (const isUser of [false, true])
  describe(`guests on CNI networks of ${isUser ? "an ordinary user" : "root"} that ask for their address`, {
    skip: !isRoot && "it takes root to make hosts for tests",
  }, () => {
    let world: CniWorld;
    let driver: Driver<CniAsk>;
    const guests: DhcpGuest[] = [];
    before(async () => {
      world = await CniWorld.open(isUser);
      world.conflist("usual", "1.0.0", usualPlugins(2));
      world.conflist("ptp", "1.0.0", ptpPlugins(3));
      driver = world.driver();
    });
    after(async () => {
      for (const guest of guests) await guest[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    });

    async function plugIn(card: CniCard): Promise<{ guest: DhcpGuest; joined: CniJoined }> {
      const joined = await driver.call<CniJoined>({ call: "join", card });
      const guest = await DhcpGuest.make(joined.mac);
      guests.push(guest);
      await guest.plugIn(
        async (argv) => world.world.as(await driver.call<string[]>({ call: "around", card, argv })),
        (argv, begun) => world.world.start(argv, begun),
      );
      return { guest, joined };
    }
    const records = (card: CniCard) => `/mnt/run/networks/cni/${card.vmId}-0.leases/leases.json`;

    it("get by udhcpc what the plugins gave, again after they let go of it, and by nobody else", async () => {
      const card = cniCard("usual", { lease: LEASE });
      const { guest, joined } = await plugIn(card);
      const other = await world.startInPlace(
        "exec dnsmasq --conf-file=/dev/null --port=0 -k --user=root --log-facility=- --interface=cni2 --bind-interfaces --dhcp-range=10.30.2.200,10.30.2.250 --leasefile-ro --dhcp-authoritative",
        /sockets bound/,
      );
      let heard = "";
      other.stderr?.on("data", (text) => {
        heard += text;
      });
      const expected = {
        ip: addressIn(joined.addresses, 4),
        ...{ router: "10.30.2.1", dns: "10.30.2.53", mtu: "1500" },
        ...{ search: "blue b.test", hostname: "web", subnet: "255.255.255.0" },
      };
      for (const flags of ["", "-R", "-C", "-x hostname:db -x 0x3d:01deadbeef"])
        assert.deepEqual(await guest.lease(flags), expected, flags);
      // Another address than its own is refused, and then it asks anew.
      assert.deepEqual(await guest.lease("-r 10.30.2.99"), expected);
      guest.net.ok("ip link set eth0 address 02:00:00:00:00:99");
      assert.equal(await guest.lease(), undefined, "by a MAC address that is not on record");
      other.kill("SIGKILL");
      assert.doesNotMatch(heard, /DHCPDISCOVER|DHCPREQUEST/);
      await driver.call({ call: "leave", card });
    });

    it("renew for as long as they live, also after who answers has died and kilnd is another", async () => {
      const card = cniCard("usual", { lease: LEASE });
      const { guest, joined } = await plugIn(card);
      const client = await guest.stay();
      // As its script would: renewals go out from the address.
      guest.net.ok(
        `ip address add ${addressIn(joined.addresses, 4)}/24 dev eth0 && ip route add default via 10.30.2.1`,
      );
      const record = world.host.ok(`cat ${records(card)}`);
      process.kill((JSON.parse(record) as { process: { pid: number } }).process.pid, "SIGKILL");
      await driver.end();
      driver = world.driver();
      await driver.call({ call: "adopt", card });
      assert.notEqual(world.host.ok(`cat ${records(card)}`), record);
      client.kill("SIGUSR1");
      await eventually("it is renewed", () => guest.net.sh("test -e /run/lease/renew").status === 0);
      assert.equal(guest.told("renew").ip, addressIn(joined.addresses, 4));
      const ended = once(client, "exit");
      client.kill("SIGKILL");
      await ended;
      await driver.call({ call: "leave", card });
    });

    for (const network of ["usual", "ptp"])
      it(`have by systemd-networkd both families and their ways out on ${network}`, {
        skip: noNetworkd,
      }, async () => {
        const card = cniCard(network, { lease: LEASE });
        const { guest, joined } = await plugIn(card);
        const addresses = joined.addresses.map((address) => address.split("/")[0] ?? "");
        // As the agent leaves them, before the guest's own system begins.
        guest.net.ok(
          joined.addresses.map((address) => `ip address add ${address} dev eth0 nodad`).join(" && "),
        );
        const isWhole = () => {
          const has = addressesOf(guest).map((address) => address.split("/")[0]);
          const routes = guest.net.ok("ip -4 route show default; ip -6 route show default");
          return (
            has.sort().join() === [...addresses].sort().join() &&
            /proto dhcp/.test(routes) &&
            /proto ra/.test(routes)
          );
        };
        for (let run = 0; run < 2; run++) {
          await guest.networkd();
          await eventually("it has what the plugins gave", isWhole);
          for (const address of [OUTSIDE.ip4, OUTSIDE.ip6])
            await eventually(
              `it reaches ${address}`,
              () => guest.net.sh(`busybox ping -c 1 -W 2 ${address}`).status === 0,
            );
          guest.endNetworkd();
          guest.forget("0123456789abcdef0123456789abcdef");
        }
        await driver.call({ call: "leave", card });
      });

    it("leave nothing", async () => {
      const settle = async () => {
        const card = cniCard("usual", { lease: LEASE });
        await driver.call({ call: "join", card });
        await driver.call({ call: "leave", card });
        return world.found();
      };
      const before = await settle();
      assert.doesNotMatch(before, /lease/);
      assert.equal(await settle(), before);
    });
  });
