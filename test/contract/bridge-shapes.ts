// Networks of one family, without names, with larger frames: each comes up, leads out and goes.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { NetworkSpec } from "../../src/base/networks.js";
import { eventually, hears, pings, plugIn, resolves } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

const NO_4 = { subnet4: undefined, gateway4: undefined };
const NO_6 = { subnet6: undefined, gateway6: undefined };
const SHAPES: readonly (readonly [what: string, at: number, change: Partial<NetworkSpec>])[] = [
  ["IPv4 alone", 1, NO_6],
  ["IPv6 alone", 2, NO_4],
  ["no names", 3, { dnsDisabled: true }],
  ["large frames", 4, { mtu: 9000 }],
  ["its own wide subnet", 5, { subnet4: "10.64.0.0/12", gateway4: "10.64.0.1" }],
];

export function bridgeShapesContract(isUser: boolean): void {
  describe("other shapes", () => {
    let world: BridgeWorld;
    let driver: Driver;
    before(async () => {
      world = await BridgeWorld.open(isUser);
      driver = world.driver();
    });
    after(() => world[Symbol.asyncDispose]());

    for (const [what, at, change] of SHAPES) {
      it(what, async () => {
        const spec = networkSpec(at, change);
        await driver.call({ call: "up", spec });
        const one = await plugIn(world, driver, spec, networkCard(spec, "one", 5));
        const two = await plugIn(world, driver, spec, networkCard(spec, "two", 6));
        for (const [address, outside] of [
          [two.card.ip4, OUTSIDE.ip4],
          [two.card.ip6, OUTSIDE.ip6],
        ] as const) {
          if (address === undefined) continue;
          assert.ok(pings(one, address), address);
          assert.ok(pings(one, `-s ${spec.mtu - 100} ${address}`), "frames as large as they may be");
          assert.equal(hears(one, outside, 80), "hello");
        }
        const resolver = spec.gateway4 ?? spec.gateway6;
        if (spec.dnsDisabled) assert.equal(resolves(one, "two", resolver), "");
        else await eventually("a name", () => resolves(one, "two", resolver) !== "");
        // Whichever the kind: musl fails a name of which one is refused, or unknown outside.
        for (const type of spec.dnsDisabled ? [] : ["a", "aaaa"]) {
          const { stdout } = one.net.sh(`busybox nslookup -type=${type} two.${spec.name} ${resolver}`);
          assert.doesNotMatch(stdout, /can't find/);
        }
        for (const { card, net } of [one, two]) {
          await driver.call({ call: "leave", spec, card });
          await net[Symbol.asyncDispose]();
        }
        await driver.call({ call: "down", spec });
      });
    }
  });
}
