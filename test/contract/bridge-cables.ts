// Cards whose VMM opens its taps by name (Firecracker): a cable between a namespace of the VMM's own and the network's bridge. Here
// the guest is in that namespace itself.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { tapName } from "../../src/base/networks.js";
import type { CardCounters, TapCard } from "../../src/net/types.js";
import { eventually } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver } from "../fixtures/bridge-world.js";
import { Namespaces } from "../fixtures/namespaces.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

export function bridgeCablesContract(isUser: boolean): void {
  describe("cables", () => {
    const spec = networkSpec(1, { mtu: 1400, isolated: true });
    const card = networkCard(spec, "web", 5);
    const link = tapName(card.vmId, card.index);
    let world: BridgeWorld;
    let driver: Driver;
    let tap: TapCard;
    const guests: Namespaces[] = [];
    before(async () => {
      world = await BridgeWorld.open(isUser);
      driver = world.driver();
      await driver.call({ call: "up", spec });
      await driver.call({ call: "join", spec, card });
    });
    after(async () => {
      for (const guest of guests) await guest[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    });

    /** What a VMM's shell does, and then the guest. */
    async function plugged(): Promise<Namespaces> {
      tap = await driver.call<TapCard>({ call: "tap", card });
      const script = ["set -e", ...tap.make, 'exec "$@"'].join("\n");
      const words = [...tap.within, "unshare", "--net", "--", "sh", "-c", script, "sh"];
      const guest = await Namespaces.hold(world.asKilnd(words), ["--net"]);
      guests.push(guest);
      guest.ok(
        `ip link set ${tap.peer} address ${card.mac} up && ip address add ${card.ip4}/24 dev ${tap.peer}`,
      );
      return guest;
    }

    async function pulled(guest: Namespaces): Promise<void> {
      const gone = once(guest.holder, "exit");
      process.kill(guest.pid, "SIGKILL");
      await gone;
    }

    const pings = (guest: Namespaces, words = "") =>
      guest.sh(`busybox ping -c 1 -W 2 ${words} ${spec.gateway4}`).status === 0;
    const port = () => world.inPlace(`ip -d -o link show ${link}`);

    it("end in a port as a tap would be, whose rules hold for what comes by it", async () => {
      const guest = await plugged();
      assert.match(await port(), / mtu 1400 .* veth .*isolated on/);
      assert.ok(pings(guest));
      const forged = async () =>
        new Map(await driver.call<[string, CardCounters][]>({ call: "counters", spec })).get(card.vmId)
          ?.forged ?? 0;
      const before = await forged();
      guest.ok(`ip address add 10.89.1.77/24 dev ${tap.peer}`);
      assert.ok(!pings(guest, "-I 10.89.1.77"), "by another address");
      guest.ok(`ip link set ${tap.peer} address 02:00:00:00:00:99`);
      assert.ok(!pings(guest), "by another MAC");
      assert.ok((await forged()) >= before + 2);
      await pulled(guest);
    });

    it("go with the namespace of the VMM, and are made again at once", async () => {
      for (const guest of [await plugged(), undefined]) {
        const last = guest ?? (await plugged());
        assert.ok(pings(last));
        await pulled(last);
      }
      await eventually("the cable has gone", async () => !(await world.inPlace("ip -o link")).includes(link));
      await driver.call({ call: "leave", spec, card });
      await driver.call({ call: "down", spec });
      assert.equal(await world.inPlace("nft list ruleset"), "");
    });

    it("lead nowhere but there: a VMM's namespace has no other link", async () => {
      await driver.call({ call: "up", spec });
      await driver.call({ call: "join", spec, card });
      const guest = await plugged();
      const links = guest.ok("ip -o link").trim().split("\n");
      assert.deepEqual(links.map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1]).sort(), ["lo", tap.peer]);
      await pulled(guest);
      await driver.call({ call: "leave", spec, card });
      await driver.call({ call: "down", spec });
    });
  });
}
