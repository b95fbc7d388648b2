// What a guest that lies gets through: nothing of what is not its own.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { cardName } from "../../src/base/networks.js";
import { linkLocal } from "../../src/net/plan-claims.js";
import type { CardCounters, NetworkCard } from "../../src/net/types.js";
import { eventually, type Guest, hears, pings, plugIn, resolves } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import {
  arp,
  dhcpRequest,
  ethernet,
  icmp6,
  ip4 as ip4Frame,
  ip6 as ip6Frame,
  neighbourAdvertisement,
  neighbourSolicitation,
  routerAdvertisement,
  udp4,
} from "../fixtures/frames.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

const WRITER = "/mnt/kiln/dist/test/fixtures/frame-writer.js";

/** It looks like what a DHCP server says, if it is looked at. */
const MIDDLE = Buffer.concat([Buffer.from([0, 67, 2, 35]), Buffer.alloc(20)]);
/** Of UDP, 24 bytes behind its beginning, with more to come. */
const FRAGMENT = Buffer.from([17, 0, 0, 25, 0, 0, 0, 7]);

export function bridgeHostileContract(isUser: boolean): void {
  describe("a hostile guest", () => {
    const spec = networkSpec(1);
    const liar = networkCard(spec, "liar", 9);
    const ip4 = liar.ip4 ?? "";
    const ip6 = liar.ip6 ?? "";
    const own = { mac: liar.mac, ip: ip4 };
    let world: BridgeWorld;
    let driver: Driver;
    let victim: Guest;
    let running: ChildProcess | undefined;
    before(async () => {
      world = await BridgeWorld.open(isUser);
      driver = world.driver();
      await driver.call({ call: "up", spec });
      victim = await plugIn(world, driver, spec, networkCard(spec, "victim", 5));
    });
    after(async () => {
      running?.kill("SIGKILL");
      await world[Symbol.asyncDispose]();
    });

    /** Writes frames into its tap, which kiln-tap has made, as a VMM would. @returns what was counted of them */
    async function writes(
      frames: readonly string[],
      look: () => Promise<void> = async () => undefined,
    ): Promise<number> {
      await driver.call({ call: "join", spec, card: liar });
      const argv = await driver.call<string[]>({
        call: "around",
        card: liar,
        argv: [process.execPath, WRITER, ...frames],
        fd: 7,
      });
      const [program = "", ...args] = world.asKilnd(argv);
      running = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
      const [said] = await once(running.stdout ?? assert.fail(), "data");
      assert.match(String(said), /^wrote( \d+)+\n/);
      const { forged } = await countersOf(liar);
      await look();
      const ended = once(running, "exit");
      running.kill("SIGKILL");
      await ended;
      await driver.call({ call: "leave", spec, card: liar });
      return forged;
    }

    async function countersOf(card: NetworkCard): Promise<CardCounters> {
      const all = new Map(await driver.call<[string, CardCounters][]>({ call: "counters", spec }));
      return all.get(card.vmId) ?? assert.fail(card.vmName);
    }

    it("is heard when it speaks for itself", async () => {
      const ends = { from: liar.mac };
      const forged = await writes([
        arp(ends, 1, own, victim.card.ip4 ?? ""),
        arp(ends, 1, { mac: liar.mac, ip: "0.0.0.0" }, ip4),
        ...[ip6, linkLocal(liar.mac), "fe80::1234"].map((target) =>
          icmp6(ends, "::", "ff02::1", neighbourSolicitation(target)),
        ),
        icmp6(ends, linkLocal(liar.mac), "ff02::1", neighbourAdvertisement(linkLocal(liar.mac), liar.mac)),
        udp4(ends, ip4, "10.89.1.255", [9, 9]),
        udp4(ends, "0.0.0.0", "255.255.255.255", [68, 67], dhcpRequest(liar.mac)),
        // The middle of a datagram, whose bytes are no ports.
        ip4Frame(ends, [ip4, victim.card.ip4 ?? ""], 17, MIDDLE, { fragment: 3 }),
        ip6Frame(ends, [ip6, victim.card.ip6 ?? ""], 44, Buffer.concat([FRAGMENT, MIDDLE])),
      ]);
      assert.equal(forged, 0);
      assert.match(victim.net.ok("ip neighbour show"), new RegExp(`${ip4} dev eth0 lladdr ${liar.mac}`));
    });

    it("is not heard as anybody else, and each lie is counted", async () => {
      const ends = { from: liar.mac };
      const other = victim.card.mac;
      const gateway = spec.gateway4 ?? "";
      const all = "ff02::1";
      const lies = [
        arp({ from: other }, 1, { mac: other, ip: ip4 }, gateway),
        arp(ends, 2, { mac: liar.mac, ip: gateway }, victim.card.ip4 ?? ""),
        arp(ends, 1, { mac: other, ip: ip4 }, gateway),
        // Of eight bytes where a MAC address has six.
        arp(ends, 1, own, gateway).replace("080006040001", "080008040001"),
        // As if it were about to take another's address: who takes one would do without it.
        arp(ends, 1, { mac: liar.mac, ip: "0.0.0.0" }, victim.card.ip4 ?? ""),
        icmp6(ends, "::", all, neighbourSolicitation(victim.card.ip6 ?? "")),
        icmp6(ends, "::", all, neighbourSolicitation(linkLocal(other))),
        icmp6(ends, linkLocal(other), all, neighbourSolicitation(victim.card.ip6 ?? "")),
        icmp6(ends, ip6, all, neighbourAdvertisement(linkLocal(other), liar.mac)),
        udp4(ends, victim.card.ip4 ?? "", gateway, [9, 53]),
        udp4(ends, gateway, "255.255.255.255", [67, 68]),
        udp4(ends, ip4, "255.255.255.255", [67, 68]),
        udp4(ends, "0.0.0.0", "10.89.1.255", [9, 9]),
        udp4(ends, "0.0.0.0", "255.255.255.255", [68, 67], dhcpRequest(other)),
        udp4(ends, ip4, gateway, [68, 67], dhcpRequest(other)),
        icmp6(ends, "fe80::1", all, routerAdvertisement()),
        icmp6(ends, "fe80::9", all, routerAdvertisement()),
        icmp6(ends, ip6, all, routerAdvertisement()),
        icmp6(ends, ip6, all, routerAdvertisement(), "options"),
        icmp6(ends, ip6, all, routerAdvertisement(), "fragment"),
        icmp6(ends, ip6, all, neighbourAdvertisement(spec.gateway6 ?? "", liar.mac)),
        icmp6(ends, "fe80::9", all, neighbourAdvertisement(victim.card.ip6 ?? "", liar.mac)),
        icmp6(ends, "fe80::9", all, neighbourAdvertisement("fe80::1", liar.mac)),
        icmp6(ends, victim.card.ip6 ?? "", all, Buffer.from([128, 0, 0, 0, 0, 1, 0, 1])),
        ethernet(ends, 0x8100, Buffer.alloc(60)),
        ethernet(ends, 0x88cc, Buffer.alloc(60)),
        ethernet({ from: liar.mac, to: "01:80:c2:00:00:00" }, 0x0027, Buffer.alloc(60)),
        ethernet(ends, 0x0800, Buffer.from([0x45])),
        ethernet(ends, 0x86dd, Buffer.alloc(1400, 0xff)),
      ];
      assert.equal(await writes(lies), lies.length);
      assert.ok(pings(victim, spec.gateway4) && pings(victim, OUTSIDE.ip6), "the others go on");
      const neighbours = victim.net.ok("ip neighbour show; ip -6 route show");
      assert.doesNotMatch(neighbours, new RegExp(`${gateway} .*${liar.mac}|proto ra`));
    });

    const flooded = async () => {
      const text = await world.inPlace(`nft -j list counters table netdev kiln_${cardName(liar.vmId, 0)}`);
      const { nftables } = JSON.parse(text) as {
        nftables: { counter?: { name: string; packets: number } }[];
      };
      return nftables.find(({ counter }) => counter?.name === "flood")?.counter?.packets ?? 0;
    };

    it("has a flood of questions cut short, and nobody else's", async () => {
      const ends = { from: liar.mac };
      const question = Buffer.from("0001010000010000000000000661616161616103636f6d0000010001", "hex");
      const flood = [`5000x${udp4(ends, ip4, spec.gateway4 ?? "", [999, 53], question)}`];
      let dropped = 0;
      const lookAt = async () => {
        dropped = await flooded();
      };
      assert.equal(await writes(flood, lookAt), 0, "a question is no lie");
      assert.ok(dropped > 1000, `${dropped}`);
      await eventually("an answer", () => /10\.89\.1\.5/.test(resolves(victim, "victim", spec.gateway4)));
    });

    it("has a flood of questions for its address cut short as well", async () => {
      const ends = { from: liar.mac };
      const solicitation = icmp6(ends, "fe80::9", "ff02::2", Buffer.from([133, 0, 0, 0, 0, 0, 0, 0]));
      const asks = udp4(ends, "0.0.0.0", "255.255.255.255", [68, 67], dhcpRequest(liar.mac));
      let dropped = 0;
      const lookAt = async () => {
        dropped = await flooded();
        const client = "busybox udhcpc -i eth0 -q -n -t 10 -T 1 -s /bin/true";
        assert.equal(victim.net.sh(client).status, 0, "others have theirs");
      };
      assert.equal(await writes([`2000x${asks}`, `2000x${solicitation}`], lookAt), 0, "a question is no lie");
      assert.ok(dropped > 3000, `${dropped}`);
    });

    it("reaches no service of the host, its loopback or the cloud's metadata", async () => {
      world.serve(world.host, 8080);
      await eventually(
        "the host serves",
        () => world.host.sh("busybox nc -w 1 127.0.0.1 8080 </dev/null").stdout === "hello\n",
      );
      const places = [
        "127.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        spec.gateway4,
        spec.gateway6,
        `[::1]`,
      ];
      for (const place of [...places, ...(isUser ? [] : ["10.99.0.2", "fd99::2"])])
        assert.equal(hears(victim, place ?? "", 8080), "", place);
      victim.net.ok(
        "ip link set lo down; ip route replace table local 127.0.0.1 via 10.89.1.1 dev eth0 onlink || :",
      );
      assert.equal(hears(victim, "127.0.0.1", 8080), "");
      victim.net.ok("ip link set lo up");
      assert.ok((await countersOf(victim.card)).denied > 0);
    });
  });
}
