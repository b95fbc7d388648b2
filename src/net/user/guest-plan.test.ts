import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseEgress } from "../../base/egress.js";
import { macOf, planUserNetwork } from "./guest-plan.js";

const HOST = { servers: ["192.0.2.1"], search: ["lan"], options: ["ndots:1"] };

const ALL = { dns: [], egress: { kind: "all" } } as const;

describe("planUserNetwork", () => {
  it("gives the guest the forwarder and the host's search domains", () => {
    const plan = planUserNetwork(HOST, ALL);
    assert.deepEqual(plan.addresses, ["10.0.2.15/24"]);
    assert.equal(plan.gateway4, "10.0.2.2");
    assert.deepEqual(plan.dns, { servers: ["10.0.2.3"], search: ["lan"], options: ["ndots:1"] });
  });

  const rows: [string, string[], string[]][] = [
    ["one server", ["192.0.2.1"], []],
    ["three", ["192.0.2.1", "192.0.2.2", "192.0.2.3"], ["192.0.2.2", "192.0.2.3"]],
    ["a local one and others", ["127.0.0.1", "192.0.2.1", "192.0.2.2"], ["192.0.2.1", "192.0.2.2"]],
    [
      "several with IPv6, which guests do not have",
      ["2001:db8::1", "192.0.2.1", "::1", "192.0.2.2"],
      ["192.0.2.2"],
    ],
    [
      "others that a guest does not reach",
      ["192.0.2.1", "127.0.0.53", "169.254.169.253", "168.63.129.16", "10.0.2.3", "192.0.2.2"],
      ["192.0.2.2"],
    ],
    ["the same again", ["192.0.2.1", "192.0.2.1", "192.0.2.2"], ["192.0.2.2"]],
    ["none", [], []],
  ];
  for (const [what, servers, others] of rows) {
    it(`gives the guest of a host with ${what} the forwarder and all others that it can ask`, () => {
      const { dns } = planUserNetwork({ ...HOST, servers }, ALL);
      assert.deepEqual(dns.servers, ["10.0.2.3", ...others]);
    });
  }

  it("prefers the resolvers that the user names", () => {
    assert.deepEqual(planUserNetwork(HOST, { ...ALL, dns: ["9.9.9.9"] }).dns.servers, ["9.9.9.9"]);
  });

  const policies: [string, string[]][] = [
    ["none", []],
    ["198.51.100.0/24", []],
    ["dns", ["10.0.2.3"]],
    ["dns,192.0.2.2:53/udp", ["10.0.2.3", "192.0.2.2"]],
    ["192.0.2.0/24:53", ["192.0.2.1", "192.0.2.2"]],
    ["192.0.2.0/24:443", []],
    ["192.0.2.0/24:53/tcp", []],
    // Never opened, whatever the policy.
    ["0.0.0.0/0", ["192.0.2.1", "192.0.2.2"]],
  ];
  for (const [egress, expected] of policies) {
    it(`gives the guest under ${egress} those resolvers alone that it may ask`, () => {
      const host = { ...HOST, servers: ["192.0.2.1", "127.0.0.53", "192.0.2.2"] };
      const { dns } = planUserNetwork(host, { dns: [], egress: parseEgress(egress) });
      assert.deepEqual(dns.servers, expected);
    });
  }
});

describe("macOf", () => {
  it("is locally administered, unicast, stable, and another for another VM", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        assert.match(macOf(one), /^02(:[0-9a-f]{2}){5}$/);
        assert.equal(macOf(one), macOf(one));
        if (one !== other) assert.notEqual(macOf(one), macOf(other));
      }),
    );
  });
});
