// What else is on a host: each clash has a name.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { BridgeVerdict } from "../../src/net/types.js";
import { pings, plugIn } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

export function bridgeNeighboursContract(): void {
  describe("neighbours on the host", () => {
    let world: BridgeWorld;
    let driver: Driver;
    before(async () => {
      world = await BridgeWorld.open(false);
      driver = world.driver();
    });
    after(() => world[Symbol.asyncDispose]());

    it("Docker's and firewalld's rules are told of", async () => {
      assert.deepEqual((await driver.call<BridgeVerdict>({ call: "look" })).warnings, []);
      world.host.ok(`nft -f - <<'E'
table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop;
}
}
table inet firewalld { chain filter_INPUT { type filter hook input priority 10; policy accept;
iifname "lo" accept
reject with icmpx admin-prohibited
}
}
E`);
      const { usable, warnings } = await driver.call<BridgeVerdict>({ call: "look" });
      assert.equal(usable, true);
      assert.match(warnings.join("\n"), /Docker's.*FORWARD[^\n]*\n?.*firewalld/s);
      world.host.ok("nft flush ruleset");
    });

    it("a kernel that can make none is told of, with its words", async () => {
      const strict = await BridgeWorld.open(true);
      try {
        strict.host.ok("mount --bind /bin/false /usr/sbin/nft");
        const { usable, why } = await strict.driver().call<BridgeVerdict>({ call: "look" });
        assert.equal(usable, false);
        assert.match(why, /^no named networks: make one to try: unshare: exit code 1 .*modprobe -a bridge/);
        strict.host.ok("umount /usr/sbin/nft; chmod 600 /dev/net/tun");
        const closed = await strict.driver().call<BridgeVerdict>({ call: "look" });
        assert.match(closed.why, /^no named networks: \/dev\/net\/tun is not this user's to open/);
        await assert.rejects(
          strict.driver().call({ call: "up", spec: networkSpec(1) }),
          /no-bridge-network: .*\/dev\/net\/tun/,
        );
      } finally {
        await strict[Symbol.asyncDispose]();
      }
    });

    it("a VPN's route over the network's range is refused by its name", async () => {
      world.host.ok("ip route add 10.89.0.0/16 dev up0");
      const spec = networkSpec(4);
      await assert.rejects(
        driver.call({ call: "up", spec }),
        /subnet-overlaps: .*10\.89\.4\.0\/24 overlaps with 10\.89\.0\.0\/16, which is behind up0/,
      );
      world.host.ok("ip route del 10.89.0.0/16 dev up0");
      await driver.call({ call: "up", spec });
      assert.deepEqual((await driver.call<BridgeVerdict>({ call: "look" })).warnings, []);
      world.host.ok("ip route add 10.89.4.0/24 dev up0 metric 50");
      const { warnings } = await driver.call<BridgeVerdict>({ call: "look" });
      assert.match(
        warnings.join("\n"),
        /^network net4: its subnet .* overlaps with .* behind up0: its VMs may be/,
      );
      world.host.ok("ip route del 10.89.4.0/24 dev up0");
      await driver.call({ call: "down", spec });
    });

    it("another data root's network is none of ours, and none is reached from another", async () => {
      const [ours, theirs] = [networkSpec(5), networkSpec(6)];
      for (const spec of [ours, theirs]) await driver.call({ call: "up", spec });
      const one = await plugIn(world, driver, ours, networkCard(ours, "one", 5));
      const two = await plugIn(world, driver, theirs, networkCard(theirs, "two", 5));
      await driver.call({
        call: "sweep",
        networks: [ours.id],
        vms: [one.card.vmId],
        inUse: [{ spec: ours, cards: [one.card] }],
      });
      assert.ok(pings(two, theirs.gateway4) && !pings(one, two.card.ip4));
      await driver.call({ call: "sweep", networks: [ours.id], vms: [one.card.vmId], inUse: [] });
      assert.ok(pings(two, theirs.gateway4) && !pings(one, ours.gateway4));
    });
  });
}
