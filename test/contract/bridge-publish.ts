// Ports of the host that lead to VMs by rules: for whom, and for how long.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { PortMapping } from "../../src/base/ports.js";
import type { NetworkCard } from "../../src/net/types.js";
import { eventually, type Guest, hears, plugIn } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

const HOST = { ip4: "10.99.0.2", ip6: "fd99::2" } as const;
const port = (hostPort: number, changes: Partial<PortMapping> = {}): PortMapping => ({
  ...{ hostIp: "0.0.0.0", hostPort, vmPort: 80, protocol: "tcp" },
  ...changes,
});

/** Of root alone: a user's networks are not the host's. */
export function bridgePublishContract(): void {
  describe("ports published by rules", () => {
    const spec = networkSpec(1);
    const other = networkSpec(2);
    let world: BridgeWorld;
    let driver: Driver;
    let web: Guest;
    let peer: Guest;
    let far: Guest;
    before(async () => {
      world = await BridgeWorld.open(false);
      driver = world.driver();
      for (const one of [spec, other]) await driver.call({ call: "up", spec: one });
      web = await plugIn(world, driver, spec, networkCard(spec, "web", 5));
      peer = await plugIn(world, driver, spec, networkCard(spec, "peer", 6));
      far = await plugIn(world, driver, other, networkCard(other, "far", 7));
      world.serve(web.net, 80);
      await eventually("web serves", () => hears(peer, web.card.ip4 ?? "", 80) === "hello");
    });
    after(() => world[Symbol.asyncDispose]());

    const outside = (address: string, at: number) =>
      world.outside.sh(`busybox nc -w 2 ${address} ${at} </dev/null`).stdout.trim();
    const publish = (one: PortMapping, card: NetworkCard = web.card) =>
      driver.call({ call: "publish", spec, card, port: one });
    const unpublish = (one: PortMapping) =>
      driver.call({ call: "unpublish", spec, card: web.card, port: one });

    it("are reached from other machines by both families, of all addresses or one, and closed again", async () => {
      const all = [port(8080), port(8081, { hostIp: HOST.ip4 }), port(8080, { hostIp: "::" })];
      const reached = () => [
        ...[
          outside(HOST.ip4, 8080),
          outside(HOST.ip4, 8081),
          outside(HOST.ip6, 8080),
          outside(HOST.ip6, 8081),
        ],
      ];
      assert.deepEqual(reached(), ["", "", "", ""]);
      for (const one of [...all, ...all]) await publish(one);
      assert.deepEqual(reached(), ["hello", "hello", "hello", ""]);
      for (const one of [...all, ...all]) await unpublish(one);
      assert.deepEqual(reached(), ["", "", "", ""]);
    });

    it("are no way for VMs to the host, to their own network by it, or to another one", async () => {
      await publish(port(8082));
      assert.equal(outside(HOST.ip4, 8082), "hello");
      for (const from of [peer, far])
        for (const address of [HOST.ip4, spec.gateway4 ?? "", other.gateway4 ?? ""])
          assert.equal(hears(from, address, 8082), "", `${from.card.vmName} ${address}`);
      await unpublish(port(8082));
    });

    it("leave the host's own connections to who listens there, and what is for other machines alone", async () => {
      world.serve(world.host, 8083);
      await publish(port(8083));
      world.outside.ok(`ip route replace 10.55.0.0/24 via ${HOST.ip4}`);
      const own = () => world.host.sh("busybox nc -w 2 127.0.0.1 8083 </dev/null").stdout.trim();
      await eventually("the host's own", () => own() === "hello");
      assert.equal(outside("10.55.0.1", 8083), "");
      await unpublish(port(8083));
    });

    it("are one VM's: another's is refused, and changes nothing", async () => {
      await publish(port(8084));
      await assert.rejects(publish(port(8084), peer.card), /File exists/);
      assert.equal(outside(HOST.ip4, 8084), "hello");
      await unpublish(port(8084));
    });

    it("go on while no kilnd runs; the next one keeps those that are a VM's, and no others", async () => {
      for (const at of [8085, 8086]) await publish(port(at));
      await publish(port(8087), peer.card);
      await driver.end();
      assert.equal(outside(HOST.ip4, 8085), "hello");
      driver = world.driver();
      const cards = [{ ...web.card, ports: [port(8085)] }];
      await driver.call({ call: "adopt", network: { spec, cards } });
      assert.deepEqual([outside(HOST.ip4, 8085), outside(HOST.ip4, 8086)], ["hello", ""]);
      const listing = world.host.ok("nft list ruleset");
      assert.match(listing, /tcp \. 8085 : 10\.89\.1\.5 \. 80/);
      assert.doesNotMatch(listing, /808[67]/);
      await driver.call({ call: "down", spec });
      assert.equal(outside(HOST.ip4, 8085), "");
    });
  });
}
