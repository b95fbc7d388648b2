// Whom the guests of a network reach, and by which names.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { formatAddress } from "../../src/base/cidr.js";
import { shortId } from "../../src/base/ids.js";
import { helperUid } from "../../src/net/user/plan.js";
import { eventually, type Guest, hears, pings, plugIn, resolves } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

/** RFC 8415: Solicit, with a DUID of the MAC address and one IA_NA. Prints the address that is advertised, in hex. */
const ASKS_DHCPV6 = `
  const s = require("dgram").createSocket("udp6"), mac = Buffer.from(process.argv[1].replaceAll(":", ""), "hex");
  const option = (code, body) => Buffer.concat([Buffer.from([0, code, 0, body.length]), body]);
  const solicit = Buffer.concat([Buffer.from([1, 1, 2, 3]), option(1, Buffer.concat([Buffer.from([0, 3, 0, 1]), mac])),
    option(3, Buffer.concat([Buffer.from([0, 0, 0, 7]), Buffer.alloc(8)])), option(8, Buffer.alloc(2))]);
  s.on("message", (m) => { const at = m.indexOf(Buffer.from([0, 5, 0, 24])); console.log(at < 0 ? m.toString("hex") : m.subarray(at + 4, at + 20).toString("hex")); process.exit(); });
  s.bind(546, "::", () => { const ask = () => s.send(solicit, 547, "ff02::1:2%eth0"); ask(); setInterval(ask, 500); });
`;

export function bridgeReachContract(isUser: boolean): void {
  describe("reach", () => {
    const [blue, red] = [networkSpec(1, { name: "blue" }), networkSpec(2, { name: "red", internal: true })];
    const grey = networkSpec(3, { name: "grey", isolated: true });
    let world: BridgeWorld;
    let driver: Driver;
    let web: Guest;
    let db: Guest;
    before(async () => {
      world = await BridgeWorld.open(isUser);
      driver = world.driver();
      assert.deepEqual((await driver.call<{ usable: boolean }>({ call: "look" })).usable, true);
      for (const spec of [blue, red, grey]) await driver.call({ call: "up", spec });
      web = await plugIn(world, driver, blue, networkCard(blue, "web", 5));
      db = await plugIn(world, driver, blue, networkCard(blue, "db", 6, { aliases: ["store"] }));
      await eventually("db has a name", () => resolves(web, "db", blue.gateway4) !== "");
    });
    after(() => world[Symbol.asyncDispose]());

    before(() => world.serve(db.net, 80));

    it("each other and outside, by ICMP, TCP and UDP, both families", () => {
      for (const address of [
        db.card.ip4,
        db.card.ip6,
        blue.gateway4,
        blue.gateway6,
        OUTSIDE.ip4,
        OUTSIDE.ip6,
      ])
        assert.ok(pings(web, address), `${address}`);
      for (const address of [OUTSIDE.ip4, OUTSIDE.ip6]) {
        assert.equal(hears(web, address, 80), "hello");
        assert.match(resolves(web, OUTSIDE.name, address), new RegExp(OUTSIDE.ip4), "by UDP");
      }
    });

    it("names, aliases and ids of the network, and names of outside, from both resolvers", () => {
      for (const resolver of [blue.gateway4, blue.gateway6]) {
        for (const name of ["db", "store", "db.blue", shortId(db.card.vmId)])
          assert.equal(
            resolves(web, name, resolver).split(" ").sort().join(" "),
            `${db.card.ip4} ${db.card.ip6}`,
            name,
          );
        assert.equal(resolves(web, db.card.ip4 ?? "", resolver), "db.blue");
        assert.equal(resolves(web, db.card.ip6 ?? "", resolver), "db.blue");
        assert.equal(
          resolves(web, OUTSIDE.name, resolver).split(" ").sort().join(" "),
          `${OUTSIDE.ip4} ${OUTSIDE.ip6}`,
        );
        assert.equal(resolves(web, "nobody", resolver), "");
      }
    });

    it("a name as soon as its VM joins, and no longer when it has left", async () => {
      const card = networkCard(blue, "late", 7);
      await driver.call({ call: "join", spec: blue, card });
      await eventually("late has a name", () =>
        resolves(web, "late", blue.gateway4).includes(card.ip4 ?? "?"),
      );
      await driver.call({ call: "leave", spec: blue, card });
      await eventually("late has none", () => resolves(web, "late", blue.gateway4) === "");
    });

    it("nobody outside from an internal network, and no other network", async () => {
      const [one, two] = [
        await plugIn(world, driver, red, networkCard(red, "one", 5)),
        await plugIn(world, driver, red, networkCard(red, "two", 6)),
      ];
      assert.ok(pings(one, two.card.ip4) && pings(one, two.card.ip6));
      assert.match(resolves(one, "two", red.gateway4), /10\.89\.2\.6/);
      assert.equal(resolves(one, OUTSIDE.name, red.gateway4), "");
      for (const address of [OUTSIDE.ip4, OUTSIDE.ip6, web.card.ip4, web.card.ip6, blue.gateway4])
        assert.ok(!pings(one, address), `${address}`);
      for (const address of [one.card.ip4, one.card.ip6, red.gateway4, red.gateway6])
        assert.ok(!pings(web, address), `${address}`);
      assert.equal(resolves(web, "one", blue.gateway4), "", "names are the network's own");
    });

    it("nobody by way of the host: VMs on the user network send as processes of it", {
      skip: isUser && "a user's networks are not the host's",
    }, () => {
      const hears = (as: string, address: string) =>
        world.host.sh(`${as} busybox nc -w 3 ${address} 80 </dev/null`).stdout.trim();
      for (const group of [helperUid(undefined), helperUid({ uid: 1_900_000_007, gid: 0 })]) {
        const as = `setpriv --regid=${group} --clear-groups --`;
        for (const address of [db.card.ip4, db.card.ip6]) assert.equal(hears(as, address ?? ""), "", address);
        const asks = `${as} busybox nslookup db ${blue.gateway4}`;
        assert.doesNotMatch(world.host.sh(asks).stdout, new RegExp(db.card.ip4 ?? "?"));
        assert.equal(hears(as, OUTSIDE.ip4), "hello");
      }
      for (const address of [db.card.ip4, db.card.ip6])
        assert.equal(hears("", address ?? ""), "hello", address);
    });

    it("outside and not each other, where VMs are cut off from each other", async () => {
      const one = await plugIn(world, driver, grey, networkCard(grey, "one", 5));
      const two = await plugIn(world, driver, grey, networkCard(grey, "two", 6));
      assert.ok(pings(one, OUTSIDE.ip4) && pings(two, OUTSIDE.ip6));
      assert.ok(!pings(one, two.card.ip4) && !pings(one, two.card.ip6));
      // By way of the router.
      one.net.ok(`ip route replace ${two.card.ip4}/32 via ${grey.gateway4}`);
      assert.ok(!pings(one, two.card.ip4));
    });

    it("its address by DHCP, and a router by its advertisement, where a guest asks", async () => {
      db.net.ok(
        `ip address flush dev eth0 && ip address add fe80::99/64 dev eth0 nodad && printf '#!/bin/sh\\n[ "$1" = bound ] && echo "$ip $router $dns $mtu"\\n' > /tmp/udhcpc-$$ && chmod 755 /tmp/udhcpc-$$ && mv /tmp/udhcpc-$$ ${world.directory}/lease`,
      );
      const lease = db.net.ok(
        `busybox udhcpc -i eth0 -q -n -t 10 -f -O mtu -s ${world.directory}/lease 2>/dev/null`,
      );
      assert.equal(lease.trim(), `${db.card.ip4} ${blue.gateway4} ${blue.gateway4} 1500`);
      db.net.ok(
        "ip -6 route flush default; echo 2 > /proc/sys/net/ipv6/conf/eth0/accept_ra; ip link set eth0 down; ip link set eth0 up",
      );
      await eventually("a router", () =>
        /default via fe80::1 .*proto ra/.test(db.net.ok("ip -6 route show default")),
      );
      assert.doesNotMatch(
        db.net.ok("ip -6 address show dev eth0 scope global"),
        /inet6/,
        "it makes no address of its own",
      );
    });

    it("its address by DHCPv6 as well", async () => {
      const said = web.net.ok(`${process.execPath} -e '${ASKS_DHCPV6}' ${web.card.mac}`);
      assert.equal(formatAddress({ family: 6, value: BigInt(`0x${said.trim()}`) }), web.card.ip6);
    });

    it("names again when its resolver has died", async () => {
      const record = world.host.ok(`cat /mnt/run/networks/${shortId(blue.id)}/names-open.json`);
      process.kill((JSON.parse(record) as { process: { pid: number } }).process.pid, "SIGKILL");
      await eventually("names", () => resolves(web, "db", blue.gateway4) !== "");
    });

    it("outside again when pasta has died", { skip: isUser ? false : "root has none" }, async () => {
      const record = world.host.ok("cat /mnt/run/networks/place/way-out.json");
      process.kill((JSON.parse(record) as { process: { pid: number } }).process.pid, "SIGKILL");
      await eventually("the way out", () => hears(web, OUTSIDE.ip4, 80) === "hello");
    });

    it("names of outside when the host has another resolver, and the first one answers no more", async () => {
      world.outside.ok(`nft add table inet deaf && nft "add chain inet deaf in { type filter hook input priority 0; }"
        nft add rule inet deaf in ip daddr ${OUTSIDE.ip4} meta l4proto { tcp, udp } th dport 53 drop`);
      await writeFile(join(world.directory, "resolv.conf"), "nameserver 10.77.0.1\n");
      await eventually("names of outside", () =>
        resolves(web, OUTSIDE.name, blue.gateway4).includes(OUTSIDE.ip4),
      );
    });
  });
}
