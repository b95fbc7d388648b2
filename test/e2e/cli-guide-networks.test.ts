// The guide's page on networks, run as it stands by a kilnd of root on a host of the test's own: it switches forwarding on, and
// makes bridges and rules.

import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { BridgeWorld } from "../fixtures/bridge-world.js";
import { runPage } from "./guide-page.js";
import { installKiln, TestKiln } from "./harness.js";

const skip =
  process.getuid?.() === 0 ? false : "it takes root to make hosts for tests; cli-guide has the page";

describe("docs/guide on a host of its own", { skip }, () => {
  let world: BridgeWorld;
  let kiln: TestKiln;
  before(async () => {
    world = await BridgeWorld.open(false);
    kiln = await TestKiln.start({ daemonPrefix: world.host.prefix });
    await installKiln(join(kiln.root, "bin"));
  });
  after(async () => {
    await kiln.dispose();
    await world[Symbol.asyncDispose]();
  });

  it("networks.md does what it says", () => runPage(kiln, "networks", join(kiln.root, "bin")));
});
