// What is left when kilnd is killed, and when it is not: what the next one repairs, and nothing.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Failpoint } from "../../src/base/failpoint.js";
import { eventually, type Guest, pings, plugIn, resolves } from "../fixtures/bridge-guests.js";
import { BridgeWorld, OUTSIDE } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

const POINTS: readonly Failpoint[] = [
  ...(["network.ruled", "network.linked", "network.named", "network.card", "network.joined"] as const),
  ...(["network.left", "network.unnamed", "network.unlinked"] as const),
];
const USER_POINTS: readonly Failpoint[] = ["network.held", "network.open"];
/** A user's place is made anew each time. */
const cyclesOf = (isUser: boolean) => (isUser ? 30 : 100);

export function bridgeLeftoversContract(isUser: boolean): void {
  describe("what is left", () => {
    let world: BridgeWorld;
    before(async () => {
      world = await BridgeWorld.open(isUser);
    });
    after(() => world[Symbol.asyncDispose]());

    const spec = networkSpec(1);
    const card = networkCard(spec, "web", 5);

    /** Links, rules, processes and files of networks. */
    async function found(): Promise<string> {
      const rules = "nft list ruleset; ip -o link show type bridge";
      return `${await world.inPlace(rules)}${world.host.ok("find /mnt/run -type f")}${(await world.processes()).join()}`;
    }

    /** What a killed kilnd was starting ends by itself, once it finds that nobody tells it to go: that may be a moment later. */
    async function assertNothing(): Promise<void> {
      const isGone = async () => (await found()) === "";
      // Compared once more, to say what it is.
      await eventually("nothing is left", isGone).catch(async () => assert.equal(await found(), ""));
    }

    for (const point of isUser ? [...USER_POINTS, ...POINTS] : POINTS) {
      it(`after a kill at ${point}: nothing, when the next kilnd has swept`, async () => {
        const killed = world.driver(point);
        await assert.rejects(async () => {
          await killed.call({ call: "up", spec });
          await killed.call({ call: "join", spec, card });
          await killed.call({ call: "leave", spec, card });
          await killed.call({ call: "down", spec });
        }, /the driver ended/);
        const next = world.driver();
        await next.call({ call: "sweep", networks: [spec.id], vms: [card.vmId], inUse: [] });
        await next.end();
        await assertNothing();
      });

      it(`after a kill at ${point}: a whole network, when the next kilnd has adopted it`, async () => {
        const killed = world.driver(point);
        await assert.rejects(async () => {
          await killed.call({ call: "up", spec });
          await killed.call({ call: "join", spec, card });
          await killed.call({ call: "leave", spec, card });
          await killed.call({ call: "down", spec });
        }, /the driver ended/);
        const next = world.driver();
        const inUse = [{ spec, cards: [card] }];
        await next.call({ call: "adopt", network: { spec, cards: [card] } });
        await next.call({ call: "sweep", networks: [spec.id], vms: [card.vmId], inUse });
        const other = await plugIn(world, next, spec, networkCard(spec, "other", 6));
        assert.ok(pings(other, OUTSIDE.ip4), "the way out");
        assert.match(resolves(other, "web", spec.gateway4), /10\.89\.1\.5/, "the name of one that was there");
        for (const one of [card, other.card]) await next.call({ call: "leave", spec, card: one });
        await next.call({ call: "down", spec });
        await other.net[Symbol.asyncDispose]();
        await next.end();
        await assertNothing();
      });
    }

    it("of a running VM's card after a kill: all, adopted", async () => {
      const first = world.driver();
      await first.call({ call: "up", spec });
      const guest: Guest = await plugIn(world, first, spec, card);
      const stranger = networkCard(spec, "stranger", 7);
      await first.call({ call: "join", spec, card: stranger });
      await first.end();
      const next = world.driver();
      await next.call({ call: "adopt", network: { spec, cards: [card] } });
      assert.ok(pings(guest, OUTSIDE.ip4) && pings(guest, OUTSIDE.ip6));
      assert.doesNotMatch(await world.inPlace("nft list ruleset"), new RegExp(stranger.vmId.slice(0, 12)));
      assert.equal(resolves(guest, "stranger", spec.gateway4), "");
      await next.call({ call: "leave", spec, card });
      await next.call({ call: "down", spec });
      await guest.net[Symbol.asyncDispose]();
      await next.end();
      assert.equal(await found(), "");
    });

    it("of networks that come and go at one moment: nothing, and none is in another's way", async () => {
      const driver = world.driver();
      const networks = Array.from({ length: 6 }, (_, at) => networkSpec(at + 1));
      for (let round = 0; round < 5; round++) {
        const cards = networks.map((one) => networkCard(one, "web", 5));
        for (const call of ["up", "join", "leave", "down"] as const) {
          const asks = networks.map((one, at) => ({ call, spec: one, card: cards[at] ?? card }));
          await driver.call({ call: "all", asks });
        }
      }
      await driver.end();
      assert.equal(await found(), "");
    });

    const cycles = cyclesOf(isUser);
    it(`after ${cycles} networks that came and went: nothing`, async (t) => {
      const driver = world.driver();
      const spent = { up: 0, join: 0, leave: 0, down: 0 };
      for (let round = 0; round < cycles; round++) {
        for (const call of ["up", "join", "leave", "down"] as const) {
          await driver.call({ call, spec, card });
          spent[call] += driver.ms;
        }
      }
      await driver.end();
      t.diagnostic(
        Object.entries(spent)
          .map(([call, ms]) => `${call} ${(ms / cycles).toFixed(1)} ms`)
          .join(", "),
      );
      assert.equal(await found(), "");
    });
  });
}
