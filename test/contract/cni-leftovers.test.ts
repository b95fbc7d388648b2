// What CNI networks leave, without a VM: of plugins that misbehave, of a kilnd that is killed and of a host's boot. The host is the
// test's own (cni-world).

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Failpoint } from "../../src/base/failpoint.js";
import { eventually } from "../fixtures/bridge-guests.js";
import { OUTSIDE } from "../fixtures/bridge-world.js";
import { CniWorld, CONFIGS, cniCard, OWN_PLUGINS, usualPlugins } from "../fixtures/cni-world.js";

const isRoot = process.getuid?.() === 0;
const POINTS: readonly Failpoint[] = [
  ...(["cni.recorded", "cni.held", "cni.added", "cni.joined", "cni.deleted", "cni.forgotten"] as const),
];

for (const isUser of [false, true])
  describe(`what CNI networks leave of ${isUser ? "an ordinary user" : "root"}`, {
    skip: !isRoot && "it takes root to make hosts for tests",
  }, () => {
    let world: CniWorld;
    before(async () => {
      world = await CniWorld.open(isUser);
      for (const [at, version] of ["0.3.1", "0.4.0", "1.0.0"].entries())
        world.conflist(`usual${at}`, version, usualPlugins(at, version));
    });
    after(() => world[Symbol.asyncDispose]());

    const can = async (...args: Parameters<CniWorld["inside"]>) => (await world.inside(...args)).status === 0;
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
        return world.settled("stubborn");
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
        const before = await world.settled("usual2");
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
      const before = await world.settled("usual2");
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

    const CYCLES = isUser ? 20 : 100;
    it(`leave nothing after ${CYCLES} cycles`, async () => {
      const before = await world.settled("usual1");
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
