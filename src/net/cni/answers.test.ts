import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { answeredFamilies, leaseCard, leaseNetwork, linkLocalIn } from "./answers.js";

const JOINED = {
  ...{ mac: "02:00:00:00:00:05", mtu: 1450, addresses: ["10.30.2.5/24", "fd30:a2::5/64"] },
  ...{ gateway4: "10.30.2.1", gateway6: "fd30:a2::1" },
  dns: { servers: ["10.30.2.53"], search: ["lan"], options: [] },
};
const LEASE = { hostname: "web", routed: { v4: false, v6: false } };

describe("what a guest on a CNI network is told that asks", () => {
  it("is what the plugins gave, or what was asked for", () => {
    const told = leaseCard(JOINED, "fe80::9", LEASE);
    assert.deepEqual([told.ip4, told.ip6, told.router4], ["10.30.2.5/24", "fd30:a2::5/64", "10.30.2.1"]);
    assert.deepEqual([told.router6, told.dns, told.search], [true, ["10.30.2.53"], ["lan"]]);
    const asked = leaseCard(JOINED, "fe80::9", { ...LEASE, dns: ["9.9.9.9"], search: [] });
    assert.deepEqual([asked.dns, asked.search], [["9.9.9.9"], []]);
    assert.equal(leaseNetwork(JOINED, "fe80::9").link6, "fe80::9");
  });

  it("is no way out where it has another, or nobody knows by which address", () => {
    const other = leaseCard(JOINED, "fe80::9", { ...LEASE, routed: { v4: true, v6: true } });
    assert.deepEqual([other.router4, other.router6], ["", false]);
    assert.equal(leaseCard(JOINED, undefined, LEASE).router6, false);
    const bare = leaseNetwork({ mtu: 1500, gateway4: "" }, undefined);
    assert.deepEqual([bare.server4, bare.link6], ["169.254.0.1", "fe80::6b69:6c6e"]);
  });

  it("is of the families that it has", () => {
    assert.equal(answeredFamilies(JOINED), "46");
    assert.equal(answeredFamilies({ addresses: ["fd00::1/64"] }), "6");
    assert.equal(answeredFamilies({ addresses: [] }), "");
  });

  it("finds the link of the host's that is the router", () => {
    const links = [
      { addr_info: [{ local: "fd30:a1::1", scope: "global" }] },
      {
        addr_info: [
          { local: "fd30:a2::1", scope: "global" },
          { local: "fe80::9", scope: "link" },
        ],
      },
    ];
    const text = JSON.stringify(links);
    assert.equal(linkLocalIn(text, "fd30:a2:0::1"), "fe80::9");
    assert.equal(linkLocalIn(text, "fd30:a1::1"), undefined);
    assert.equal(linkLocalIn("\n", "fd30:a1::1"), undefined);
    assert.throws(() => linkLocalIn("x", "fd30:a1::1"));
  });
});
