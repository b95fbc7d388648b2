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
    const require = (network: string) => driver.call({ call: "require", network });
    await require("ptp");
    await assert.rejects(require("nothing"), /cni-network-not-found: .*no CNI network nothing in/);
    await assert.rejects(require("lacking"), /cni-plugin-missing: there is no CNI plugin no-such-plugin/);
    world.host.ok(`rm ${CONFIGS}/9*; chmod 777 ${OWN_PLUGINS}/modern`);
    await assert.rejects(require("modern"), /unsafe-path/);
    await driver.end();
  });
});
