// CNI networks without a VM: what a network's list says of it, to plugins and to people. The host is the test's own (cni-world).

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { JsonObject } from "../../src/base/versioned.js";
import type { CniListing } from "../../src/net/types.js";
import { CniWorld, CONFIGS, cniCard, OWN_PLUGINS, ptpPlugins, usualPlugins } from "../fixtures/cni-world.js";

const isRoot = process.getuid?.() === 0;

describe("lists of CNI networks", { skip: !isRoot && "it takes root to make hosts for tests" }, () => {
  let world: CniWorld;
  before(async () => {
    world = await CniWorld.open();
    world.conflist("usual2", "1.0.0", usualPlugins(2, "1.0.0"));
    world.conflist("ptp", "1.0.0", ptpPlugins(3));
  });
  after(() => world[Symbol.asyncDispose]());

  it("have all forgotten but what is on record, on networks that are kiln's alone", async () => {
    const told = "/mnt/run/collected";
    world.plugin(
      "forgetful",
      `case $CNI_COMMAND in GC) cat >> ${told}; echo >> ${told};; ADD) echo '{"cniVersion":"1.1.0"}';; esac`,
    );
    // What makes the link is of an older version than that.
    world.plugin(
      "links",
      `case $CNI_COMMAND in STATUS|GC) exit 0;; ADD) nsenter --net=$CNI_NETNS ip link add eth0 type veth peer name nowhere; echo '{"cniVersion":"1.1.0"}';; esac`,
    );
    world.conflist("ours", "1.1.0", [{ type: "links" }, { type: "forgetful" }]);
    world.conflist("shared", "1.1.0", [{ type: "links" }, { type: "forgetful" }]);
    const driver = world.driver({ alone: ["ours"] });
    const cards = [cniCard("ours"), cniCard("ours"), cniCard("shared")] as const;
    for (const card of cards) await driver.call({ call: "join", card });
    assert.equal(world.host.sh(`cat ${told}`).status, 1, "nobody is told by a join");
    await driver.call({ call: "sweep", inUse: [cards[0], cards[2]] });
    const [line = "", ...more] = world.host.ok(`cat ${told}`).trim().split("\n");
    assert.deepEqual(more, []);
    const { name, ...config } = JSON.parse(line) as JsonObject;
    assert.equal(name, "ours");
    assert.deepEqual(config["cni.dev/valid-attachments"], [{ containerID: cards[0].vmId, ifname: "eth0" }]);
    for (const card of cards) await driver.call({ call: "leave", card });
    await driver.end();
  });

  it("tell plugins of 1.1 which attachments are to stay, and no others", async () => {
    world.plugin("modern", `cat > /mnt/run/told-$CNI_COMMAND; echo '{"cniVersion":"1.1.0"}'`);
    world.conflist("modern", "1.1.0", [{ type: "modern" }], { cniVersions: ["1.0.0", "1.1.0"] });
    const driver = world.driver();
    const attachment = {
      ...{ containerId: "one", ifName: "eth0", netns: "", mac: "", ips: [] },
      capabilities: {},
    };
    assert.equal(await driver.call({ call: "gc", network: "modern", valid: [attachment] }), true);
    const told = JSON.parse(world.host.ok("cat /mnt/run/told-GC")) as JsonObject;
    assert.deepEqual(told["cni.dev/valid-attachments"], [{ containerID: "one", ifname: "eth0" }]);
    assert.equal(told.cniVersion, "1.1.0");
    assert.equal(await driver.call({ call: "gc", network: "usual2", valid: [] }), false);
    world.conflist("newer", "1.1.0", usualPlugins(8));
    await assert.rejects(
      driver.call({ call: "join", card: cniCard("newer") }),
      /plugin bridge failed to ADD: incompatible CNI versions/,
    );
    await driver.end();
  });

  it("ask plugins whether they could add somebody, and show why not", async () => {
    const says = '{"cniVersion":"1.1.0","code":50,"msg":"the daemon is not up","details":""}';
    world.plugin("asked", `case $CNI_COMMAND in STATUS) echo '${says}'; exit 1;; ADD) exit 9;; esac`);
    world.conflist("asked", "1.1.0", [{ type: "asked" }]);
    world.conflist("unasked", "1.0.0", [{ type: "asked" }]);
    const driver = world.driver();
    const join = (network: string) => driver.call({ call: "join", card: cniCard(network) });
    await assert.rejects(
      join("asked"),
      /cni-failed: .*plugin asked failed to STATUS: the daemon is not up \(code 50\)$/,
    );
    await assert.rejects(join("unasked"), /failed to ADD: exit code 9/, "there is no such verb before 1.1");
    await driver.end();
  });

  it("are listed, and refused for what is wrong with them", async () => {
    world.host.ok(`echo '{' > ${CONFIGS}/99-bad.conflist; cp ${CONFIGS}/ptp.conflist ${CONFIGS}/98-open.conflist
      chmod 666 ${CONFIGS}/98-open.conflist`);
    world.conflist("lacking", "1.0.0", [{ type: "no-such-plugin" }]);
    const driver = world.driver();
    const all = await driver.call<CniListing[]>({ call: "list" });
    const flawOf = (name: string) => all.find(({ path }) => path.includes(name))?.flaw;
    assert.match(flawOf("99-bad") ?? "", /it is no JSON/);
    assert.match(flawOf("98-open") ?? "", /every user may change it/);
    assert.deepEqual(all.find(({ name }) => name === "ptp")?.plugins, ["ptp"]);
    assert.match(flawOf("lacking") ?? "", /there is no CNI plugin no-such-plugin/);
    assert.equal(flawOf("ptp.conflist"), "");
    const require = (network: string) => driver.call({ call: "require", network });
    await require("ptp");
    await assert.rejects(require("nothing"), /cni-network-not-found: .*no CNI network nothing in/);
    await assert.rejects(require("lacking"), /cni-plugin-missing: there is no CNI plugin no-such-plugin/);
    world.host.ok(`rm ${CONFIGS}/9*; chmod 777 ${OWN_PLUGINS}/modern`);
    await assert.rejects(require("modern"), /unsafe-path/);
    await driver.end();
  });
});
