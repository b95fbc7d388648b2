// What `kiln info` says that is in the way of named networks.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { orderOf } from "../../../test/fixtures/network-case.js";

describe("warnings about networks", () => {
  const kilnd = engineCase();
  const told = async () => (await kilnd.engine.system.info()).warnings;

  it("are told where there is a network, and why there can be none", async () => {
    const { bridges = assert.fail() } = kilnd.world;
    bridges.warnings = ["a firewall drops what it does not name"];
    assert.ok(!(await told()).includes("a firewall drops what it does not name"), "nobody has a network");
    await kilnd.engine.networks.create(orderOf("web"));
    assert.ok((await told()).includes("a firewall drops what it does not name"));
    bridges.usable = false;
    assert.ok((await told()).includes("no nft"));
  });
});
