// A guest on a network of kiln's own that asks for its address, as one in system mode does: by busybox's client and by
// systemd-networkd, through the tap that a VMM would have.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { shortId } from "../../src/base/ids.js";
import type { NetworkSpec } from "../../src/base/networks.js";
import type { NetworkCard } from "../../src/net/types.js";
import { eventually } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import { addressesOf, DhcpGuest, noNetworkd } from "../fixtures/dhcp-guest.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

const AT = 9;
const ROUTED = { v4: false, v6: false };
/** As NetworkManager does: of neither family is a link-local address what the MAC says, and both are claimed. */
const CLAIMS = "LinkLocalAddressing=yes\\nIPv6LinkLocalAddressGenerationMode=stable-privacy\\n";

export function bridgeLeasesContract(): void {
  describe("guests that ask for their address", () => {
    const blue = networkSpec(1, { name: "blue", mtu: 1400 });
    let world: BridgeWorld;
    let driver: Driver;
    const guests: DhcpGuest[] = [];
    before(async () => {
      world = await BridgeWorld.open(false);
      driver = world.driver();
      await driver.call({ call: "up", spec: blue });
    });
    after(async () => {
      for (const guest of guests) await guest[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    });

    async function plugIn(card: NetworkCard, spec: NetworkSpec = blue): Promise<DhcpGuest> {
      await driver.call({ call: "join", spec, card });
      const guest = await DhcpGuest.make(card.mac);
      guests.push(guest);
      await guest.plugIn(
        (argv) => driver.call<string[]>({ call: "around", card, argv, fd: AT }),
        (argv, begun) => world.start(argv, begun),
      );
      return guest;
    }
    const record = () =>
      world.host.ok(`cat /mnt/run/networks/${shortId(blue.id)}/leases.json 2>/dev/null || :`);
    const kill = (text: string) =>
      process.kill((JSON.parse(text) as { process: { pid: number } }).process.pid, "SIGKILL");
    const known = (card: NetworkCard) => ({
      ...{ ip: card.ip4, router: "10.89.1.1", dns: "10.89.1.1", mtu: "1400", subnet: "255.255.255.0" },
      search: "blue",
    });

    it("get by udhcpc what is on record, whoever they say they are, and nobody else gets anything", async () => {
      const card = networkCard(blue, "web", 5, { lease: { hostname: "host", routed: ROUTED } });
      const guest = await plugIn(card);
      const expected = { ...known(card), hostname: "host" };
      for (const flags of ["", "-R", "-C", "-x hostname:db -x 0x3d:01deadbeef", "-r 10.89.1.77"])
        assert.deepEqual(await guest.lease(flags), expected, flags);
      guest.net.ok("ip link set eth0 address 02:00:00:00:00:99");
      assert.equal(await guest.lease(), undefined, "by a MAC address that is not on record");
      await driver.call({ call: "leave", spec: blue, card });
    });

    it("are told what was asked for them, and of no router where their way out is another", async () => {
      const lease = {
        hostname: "",
        dns: ["9.9.9.9"],
        search: ["a.test", "b.test"],
        routed: { v4: true, v6: true },
      };
      const card = networkCard(blue, "side", 6, { lease });
      const { router: _, ...rest } = known(card);
      const guest = await plugIn(card);
      assert.deepEqual(await guest.lease(), { ...rest, dns: "9.9.9.9", search: "a.test b.test" });
      await driver.call({ call: "leave", spec: blue, card });
    });

    it("have an address at once that another VM had", async () => {
      const [one, other] = [networkCard(blue, "one", 7), networkCard(blue, "other", 7)];
      const first = await plugIn(one);
      assert.equal((await first.lease())?.ip, one.ip4);
      await driver.call({ call: "leave", spec: blue, card: one });
      await first[Symbol.asyncDispose]();
      const second = await plugIn(other);
      assert.equal((await second.lease())?.ip, one.ip4);
      await driver.call({ call: "leave", spec: blue, card: other });
    });

    it("renew for as long as they live, also after who answers has died and kilnd is another", async () => {
      const card = networkCard(blue, "long", 8);
      const guest = await plugIn(card);
      const client = await guest.stay();
      guest.net.ok(`ip address add ${card.ip4}/24 dev eth0 && ip route add default via 10.89.1.1`);
      const before = record();
      kill(before);
      await eventually("another one answers", () => !["", before].includes(record()));
      client.kill("SIGUSR1");
      await eventually("it is renewed", () => guest.net.sh("test -e /run/lease/renew").status === 0);
      assert.equal(guest.told("renew").ip, card.ip4);
      guest.net.ok("rm /run/lease/renew");
      await driver.end();
      kill(record());
      driver = world.driver();
      await driver.call({ call: "adopt", network: { spec: blue, cards: [card] } });
      client.kill("SIGUSR1");
      await eventually("it is renewed again", () => guest.net.sh("test -e /run/lease/renew").status === 0);
      const ended = once(client, "exit");
      client.kill("SIGKILL");
      await ended;
      await driver.call({ call: "leave", spec: blue, card });
    });

    it("have by systemd-networkd both families and their ways out, whatever else it claims", {
      skip: noNetworkd,
    }, async () => {
      const card = networkCard(blue, "system", 9);
      const guest = await plugIn(card);
      // As the agent leaves them, before the guest's own system begins.
      guest.net.ok(
        `ip address add ${card.ip4}/24 dev eth0 && ip address add ${card.ip6}/64 dev eth0 nodad
        ip route add default via 10.89.1.1 && ip -6 route add default via ${blue.gateway6}`,
      );
      const isWhole = () => {
        const has = addressesOf(guest).map((address) => address.split("/")[0]);
        const routes = guest.net.ok("ip -4 route show default; ip -6 route show default");
        const isOwn = [card.ip4, card.ip6].every((address) => has.includes(address));
        // Beside those of the agent, which it leaves alone.
        return isOwn && /proto dhcp/.test(routes) && /via fe80::1 /.test(routes);
      };
      for (const claims of ["", CLAIMS]) {
        await guest.networkd(claims);
        await eventually("it has what is on record", isWhole);
        for (const address of [OUTSIDE.ip4, OUTSIDE.ip6])
          await eventually(
            `it reaches ${address}`,
            () => guest.net.sh(`busybox ping -c 1 -W 2 ${address}`).status === 0,
          );
        guest.endNetworkd();
        guest.forget("0123456789abcdef0123456789abcdef");
      }
      await driver.call({ call: "leave", spec: blue, card });
    });
  });
}
