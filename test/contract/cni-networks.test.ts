// CNI networks without a VM: Debian's own plugins, and some that misbehave, called as kilnd calls them on a host of the test's own
// (cni-world).

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Failpoint } from "../../src/base/failpoint.js";
import type { JsonObject } from "../../src/base/versioned.js";
import type { CniAttachment } from "../../src/net/cni/plan-call.js";
import type { CniJoined } from "../../src/net/types.js";
import { eventually } from "../fixtures/bridge-guests.js";
import { OUTSIDE } from "../fixtures/bridge-world.js";
import {
  addressIn,
  CniWorld,
  CONFIGS,
  cniCard,
  macvlanPlugins,
  OWN_PLUGINS,
  ptpPlugins,
  usualPlugins,
} from "../fixtures/cni-world.js";

const isRoot = process.getuid?.() === 0;
const POINTS: readonly Failpoint[] = [
  ...(["cni.recorded", "cni.held", "cni.added", "cni.joined", "cni.deleted", "cni.forgotten"] as const),
];
const CYCLES = 100;

describe("CNI networks", { skip: !isRoot && "it takes root to make hosts for tests" }, () => {
  let world: CniWorld;
  before(async () => {
    world = await CniWorld.open();
    for (const [at, version] of ["0.3.1", "0.4.0", "1.0.0"].entries())
      world.conflist(`usual${at}`, version, usualPlugins(at, version));
    world.conflist("ptp", "1.0.0", ptpPlugins(3));
    world.conflist("macvlan", "1.0.0", macvlanPlugins(4));
  });
  after(() => world[Symbol.asyncDispose]());

  const can = async (...args: Parameters<CniWorld["inside"]>) => (await world.inside(...args)).status === 0;
  /** Of a network that has had a card. */
  async function settled(network: string): Promise<string> {
    const driver = world.driver();
    const card = cniCard(network);
    await driver.call({ call: "join", card });
    await driver.call({ call: "leave", card });
    await driver.end();
    return world.found();
  }

  for (const [at, network] of ["usual0", "usual1", "usual2"].entries())
    it(`give cards of ${network} addresses, each other and the world outside`, async () => {
      const before = await settled(network);
      const driver = world.driver();
      const cards = [cniCard(network), cniCard(network)] as const;
      const [one, other] = [
        await driver.call<CniJoined>({ call: "join", card: cards[0] }),
        await driver.call<CniJoined>({ call: "join", card: cards[1] }),
      ];
      assert.match(addressIn(one.addresses, 4), new RegExp(`^10\\.30\\.${at}\\.`));
      assert.deepEqual([one.gateway4, one.gateway6, one.mtu], [`10.30.${at}.1`, `fd30:a${at}::1`, 1500]);
      assert.match((await world.inside(cards[0], "ip link show eth0")).stdout, new RegExp(one.mac));
      for (const address of [addressIn(other.addresses, 4), addressIn(other.addresses, 6), OUTSIDE.ip4])
        assert.ok(await can(cards[0], `busybox ping -c 1 -W 5 ${address}`), address);
      await driver.call({ call: "adopt", card: cards[0] });
      for (const card of cards) await driver.call({ call: "leave", card });
      await driver.call({ call: "leave", card: cards[0] });
      await driver.end();
      assert.equal(await world.found(), before);
    });

  it("have the same MAC address after every start, and addresses that are asked for", async () => {
    const driver = world.driver();
    const card = cniCard("usual2");
    const { mac } = await driver.call<CniJoined>({ call: "join", card });
    await driver.call({ call: "leave", card });
    assert.equal((await driver.call<CniJoined>({ call: "join", card })).mac, mac);
    const asked = cniCard("usual2", { ip: "10.30.2.77", ip6: "fd30:a2::77", mac: "02:00:00:00:00:77" });
    const given = await driver.call<CniJoined>({ call: "join", card: asked });
    assert.deepEqual(given.addresses, ["10.30.2.77/24", "fd30:a2::77/64"]);
    assert.equal(given.mac, asked.mac);
    const taken = { call: "join", card: cniCard("usual2", { ip: "10.30.2.77" }) } as const;
    await assert.rejects(driver.call(taken), /cni-failed: .*plugin bridge failed to ADD: .*10\.30\.2\.77/);
    const foreign = cniCard("macvlan", { mac: "02:00:00:00:00:78", ip: "10.99.99.99" });
    await assert.rejects(driver.call({ call: "join", card: foreign }), /cni-failed/);
    for (const each of [card, asked]) await driver.call({ call: "leave", card: each });
    await driver.end();
  });

  it("have the addresses again that they had, where nobody has them by now", async () => {
    const driver = world.driver();
    const card = cniCard("usual2");
    const { addresses } = await driver.call<CniJoined>({ call: "join", card });
    await driver.call({ call: "leave", card });
    // Addresses are given in a row: without the wish it would be the next one.
    const wish = addresses.map((address) => address.replace(/\/.*/, ""));
    const again = await driver.call<CniJoined>({ call: "join", card: { ...card, wish } });
    assert.deepEqual(again.addresses, addresses);
    const other = cniCard("usual2", { wish });
    const others = await driver.call<CniJoined>({ call: "join", card: other });
    assert.notDeepEqual(others.addresses, addresses);
    assert.equal(others.addresses.length, 2);
    for (const each of [card, other]) await driver.call({ call: "leave", card: each });
    await driver.end();
  });

  it("give a card of ptp its only way by its router", async () => {
    const before = await settled("ptp");
    const driver = world.driver();
    const card = cniCard("ptp");
    const { addresses, gateway4 } = await driver.call<CniJoined>({ call: "join", card });
    assert.match(addresses.join(), /^10\.30\.3\.\d+\/32,/);
    assert.equal(gateway4, "10.30.3.1");
    assert.ok(await can(card, `busybox ping -c 1 -W 5 ${OUTSIDE.ip4}`));
    await driver.call({ call: "leave", card });
    await driver.end();
    assert.equal(await world.found(), before);
  });

  it("put cards of macvlan on the host's own link", async () => {
    const before = await settled("macvlan");
    const driver = world.driver();
    const cards = [cniCard("macvlan"), cniCard("macvlan")] as const;
    await driver.call({ call: "join", card: cards[0] });
    const { addresses } = await driver.call<CniJoined>({ call: "join", card: cards[1] });
    assert.ok(await can(cards[0], `busybox ping -c 1 -W 5 ${addressIn(addresses, 4)}`));
    for (const card of cards) await driver.call({ call: "leave", card });
    await driver.end();
    assert.equal(await world.found(), before);
  });

  for (const [by, isThere, expected] of [
    ["rules", true, /fwd to "eth0"[\s\S]*fwd to "kt/],
    ["filters of tc where there is no nft", false, /Redirect to device kt[\s\S]*Redirect to device eth0/],
  ] as const)
    it(`have their tap and their plugins' link as one cable, by ${by}`, async () => {
      const looks = "nft list ruleset; tc filter show dev eth0 ingress; tc filter show dev";
      if (!isThere) world.host.ok("mount --bind /dev/null $(command -v nft)");
      const driver = world.driver();
      const card = cniCard("usual2");
      await driver.call({ call: "join", card });
      const argv = ["sh", "-c", "test -c /proc/self/fd/9 && echo tap && cat"];
      const around = await driver.call<string[]>({ call: "around", card, argv });
      const vmm = await world.host.start(around.map((word) => `'${word}'`).join(" "), /^tap$/m);
      const found = await world.inside(card, `${looks} kt${card.vmId.slice(0, 10)}0 ingress`);
      assert.match(found.stdout, expected);
      vmm.stdin?.end();
      await driver.call({ call: "leave", card });
      const policy = { call: "join", card: { ...card, egress: { kind: "none" } } } as const;
      if (isThere) await driver.call(policy);
      else await assert.rejects(driver.call(policy), /egress-not-ready: .*nftables is not installed/);
      await driver.call({ call: "leave", card });
      await driver.end();
      if (!isThere) world.host.ok("umount $(readlink -f /usr/sbin/nft)");
    });

  it("take ports to publish, and give them back", async () => {
    const driver = world.driver();
    const card = cniCard("usual2");
    const { addresses } = await driver.call<CniJoined>({ call: "join", card });
    const attachment: CniAttachment = {
      ...{ containerId: "ports", ifName: "eth9", mac: "", ips: [] },
      netns: `/proc/${world.host.pid}/ns/net`,
      capabilities: { portMappings: [{ hostPort: 8088, containerPort: 80, protocol: "tcp" }] },
    };
    const result = { cniVersion: "1.0.0", ips: addresses.map((address) => ({ address })) };
    world.conflist("ports", "1.0.0", [
      { type: "echo" },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ]);
    world.plugin("echo", `test "$CNI_COMMAND" = ADD && echo '${JSON.stringify(result)}'; exit 0`);
    const added = await driver.call<JsonObject>({ call: "add", network: "ports", attachment });
    assert.match(await world.found(), /--dport 8088/);
    // Its CHECK of 1.1.1 looks for rules of IPv6 whatever the addresses are.
    await driver.call({ call: "del", network: "ports", attachment, result: added });
    assert.doesNotMatch(await world.found(), /8088/);
    await driver.call({ call: "leave", card });
    await driver.end();
  });

  it("say what CHECK finds wrong, in the plugin's own words", async () => {
    const driver = world.driver();
    const card = cniCard("usual2");
    await driver.call({ call: "join", card });
    await driver.call({ call: "check", card });
    assert.ok(await can(card, "ip -4 route del default"));
    const words = /cni-failed: CNI network usual2: plugin bridge failed to CHECK: .*0\.0\.0\.0/;
    await assert.rejects(driver.call({ call: "check", card }), words);
    // A plugin that is wrong costs a VM that runs nothing.
    const adopted = await driver.call<CniJoined>({ call: "adopt", card });
    assert.equal((await driver.call<CniJoined>({ call: "recall", card })).mac, adopted.mac);
    await driver.call({ call: "leave", card });
    await driver.end();
  });

  const BROKEN: readonly [what: string, script: string, words: RegExp][] = [
    [
      "fails with an error of the spec's form",
      `test $CNI_COMMAND = ADD || exit 0; echo '{"cniVersion":"1.0.0","code":7,"msg":"no more","details":"since noon"}'; exit 1`,
      /cni-failed: CNI network broken: plugin broken failed to ADD: no more: since noon \(code 7\)$/,
    ],
    [
      "says to try again later",
      `test $CNI_COMMAND = ADD || exit 0; echo '{"cniVersion":"1.0.0","code":11,"msg":"busy"}'; exit 1`,
      /cni-failed: .*busy \(code 11\)/,
    ],
    [
      "fails with words of its own",
      "test $CNI_COMMAND = ADD || exit 0; echo oh dear >&2; exit 3",
      /cni-failed: .*plugin broken failed to ADD: exit code 3 oh dear$/,
    ],
    [
      "is killed",
      "test $CNI_COMMAND = ADD || exit 0; kill -9 $$",
      /cni-failed: .*plugin broken failed to ADD: SIGKILL/,
    ],
    [
      "answers what is no result",
      "test $CNI_COMMAND = ADD || exit 0; echo '[]'",
      /cni-failed: .*answered ADD with what is no result: it is no object/,
    ],
    [
      "writes without end",
      "test $CNI_COMMAND = ADD || exit 0; yes; :",
      /cni-failed: .*failed to ADD: it wrote more than 1048576 bytes$/,
    ],
    [
      "answers in a thousand lists",
      `test $CNI_COMMAND = ADD || exit 0; printf '{"x":'; yes [ | head -1000 | tr -d '\\n'; yes ] | head -1000 | tr -d '\\n'; echo '}'`,
      /cni-failed: .*no result: it is more than 32 lists deep$/,
    ],
    [
      "hangs, with a child",
      "test $CNI_COMMAND = ADD || exit 0; sleep 1000 & sleep 1000",
      /cni-timeout: CNI network broken: plugin broken did not end its ADD within 10 s/,
    ],
  ];
  for (const [what, script, words] of BROKEN)
    it(`leave nothing of a card whose last plugin ${what}`, async () => {
      world.plugin("broken", script);
      world.conflist("broken", "1.0.0", [...usualPlugins(5), { type: "broken" }]);
      const driver = world.driver({ timeoutMs: what.startsWith("hangs") ? 10_000 : 30_000 });
      await assert.rejects(driver.call({ call: "join", card: cniCard("broken") }), words);
      const before = await world.found();
      await assert.rejects(driver.call({ call: "join", card: cniCard("broken") }), words);
      assert.equal(await world.found(), before);
      assert.doesNotMatch(before, /sleep|networks\/cni|run\/data/);
      await driver.end();
    });

  it("keep a card on record whose plugins won't let go of it, and let go of it later", async () => {
    world.plugin("stubborn", "test $CNI_COMMAND != DEL -o -e /mnt/run/yes || exit 9; echo '{}'");
    world.conflist("stubborn", "1.0.0", [{ type: "stubborn" }, ...usualPlugins(6)]);
    const before = await (async () => {
      world.host.ok("touch /mnt/run/yes");
      return settled("stubborn");
    })();
    world.host.ok("rm /mnt/run/yes");
    const driver = world.driver();
    const card = cniCard("stubborn");
    await driver.call({ call: "join", card });
    await assert.rejects(
      driver.call({ call: "leave", card }),
      /cni-failed: .*stubborn failed to DEL: exit code 9/,
    );
    assert.match(await world.found(), new RegExp(card.vmId));
    world.host.ok(`touch /mnt/run/yes; rm ${CONFIGS}/stubborn.conflist`);
    await driver.call({ call: "sweep", inUse: [] });
    assert.equal(await world.found(), before);
    await driver.end();
  });

  for (const point of POINTS)
    it(`leave nothing after a kill at ${point}, when the next kilnd has swept`, async () => {
      const before = await settled("usual2");
      const killed = world.driver({ failpoint: point });
      const card = cniCard("usual2", { lease: { hostname: "web", routed: { v4: false, v6: false } } });
      await assert.rejects(async () => {
        await killed.call({ call: "join", card });
        await killed.call({ call: "leave", card });
      }, /the driver ended/);
      const next = world.driver();
      await next.call({ call: "sweep", inUse: [] });
      await next.end();
      await eventually("nothing is left", async () => (await world.found()) === before).catch(async () =>
        assert.equal(await world.found(), before),
      );
    });

  it("end plugins that a killed kilnd was calling", async () => {
    world.host.ok("mkfifo /mnt/run/asleep; cp /bin/busybox /mnt/run/plugins/asleep");
    world.host.ok(`printf '#!${OWN_PLUGINS}/busybox sh\\n' > ${OWN_PLUGINS}/slow; cp /bin/busybox ${OWN_PLUGINS}/
      echo 'test $CNI_COMMAND = ADD || exit 0; echo > /mnt/run/asleep; read -r never < /mnt/run/asleep' >> ${OWN_PLUGINS}/slow
      chmod 755 ${OWN_PLUGINS}/*`);
    world.conflist("slow", "1.0.0", [...usualPlugins(7), { type: "slow" }]);
    const killed = world.driver();
    const card = cniCard("slow");
    const joining = assert.rejects(killed.call({ call: "join", card }), /the driver ended/);
    await world.host.run("read -r begun < /mnt/run/asleep");
    await killed.end();
    await joining;
    const next = world.driver();
    await next.call({ call: "sweep", inUse: [] });
    assert.deepEqual(await world.world.processes(), []);
    assert.doesNotMatch(await world.found(), new RegExp(card.vmId));
    await next.end();
  });

  it("leave a card alone that is in use, and remove what is left of the host's last boot", async () => {
    const before = await settled("usual2");
    const first = world.driver();
    const [kept, stale] = [cniCard("usual2"), cniCard("usual2")];
    for (const card of [kept, stale]) await first.call({ call: "join", card });
    await first.end();
    // As after a boot: no namespace, and the plugins' files.
    const record = world.host.ok(`cat /mnt/run/networks/cni/${stale.vmId}-0.json`);
    process.kill((JSON.parse(record) as { process: { pid: number } }).process.pid, "SIGKILL");
    const next = world.driver();
    await next.call({ call: "sweep", inUse: [kept] });
    assert.ok(await can(kept, `busybox ping -c 1 -W 5 ${OUTSIDE.ip4}`));
    await next.call({ call: "adopt", card: kept });
    await assert.rejects(next.call({ call: "adopt", card: stale }), /cni-lost/);
    await next.call({ call: "leave", card: kept });
    await next.end();
    assert.equal(await world.found(), before);
  });

  it(`leave nothing after ${CYCLES} cycles`, async () => {
    const before = await settled("usual1");
    const driver = world.driver();
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const card = cniCard("usual1");
      await driver.call({ call: "join", card });
      await driver.call({ call: "leave", card });
    }
    await driver.end();
    assert.equal(await world.found(), before);
  });
});
