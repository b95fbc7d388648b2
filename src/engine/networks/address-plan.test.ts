import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { orderOf } from "../../../test/fixtures/network-case.js";
import { type Cidr, contains, overlaps, parseAddress, parseCidr } from "../../base/cidr.js";
import { KilnError } from "../../base/errors.js";
import { isHost, type Occupied, type PlanFacts, planAddresses } from "./address-plan.js";
import type { NetworkOrder } from "./spec.js";

const ID = "0123456789abcdef".repeat(4);
const cidr = (text: string): Cidr => parseCidr(text) ?? assert.fail(text);
const busy = (...texts: readonly string[]): Occupied[] =>
  texts.map((text) => ({ range: cidr(text), by: "eth0" }));

function plan(changes: Partial<NetworkOrder> = {}, facts: Partial<PlanFacts> = {}) {
  return planAddresses(orderOf("web", changes), {
    id: ID,
    pools: [cidr("10.89.0.0/16")],
    occupied: [],
    ...facts,
  });
}

describe("the addresses of a network", () => {
  it("are the pool's first that are free", () => {
    assert.deepEqual(plan(), {
      subnet4: "10.89.0.0/24",
      gateway4: "10.89.0.1",
      range4: "",
      subnet6: "",
      gateway6: "",
    });
    const next = (...texts: string[]) => plan({}, { occupied: busy(...texts) }).subnet4;
    assert.equal(next("10.89.0.0/24"), "10.89.1.0/24");
    assert.equal(next("10.89.0.7/32", "10.89.2.0/23"), "10.89.1.0/24");
    assert.equal(next("10.89.0.0/17"), "10.89.128.0/24");
    assert.equal(next("10.89.0.0/25", "10.89.1.128/25", "10.89.2.0/24"), "10.89.3.0/24");
    const pools = [cidr("10.1.0.0/24"), cidr("10.2.0.0/16")];
    assert.equal(plan({}, { pools, occupied: busy("10.1.0.0/16") }).subnet4, "10.2.0.0/24");
  });

  it("are of IPv6 the network's own where none are given", () => {
    const both = plan({ ipv6: true });
    assert.deepEqual(
      [both.subnet4, both.subnet6, both.gateway6],
      ["10.89.0.0/24", "fd01:2345:6789::/64", "fd01:2345:6789::1"],
    );
    const six = plan({ subnets: ["fd00:1::/64"] });
    assert.deepEqual([six.subnet4, six.gateway4, six.subnet6], ["", "", "fd00:1::/64"]);
    assert.equal(plan({ subnets: ["fd00:1::/64"], ipv6: true }).subnet4, "10.89.0.0/24");
  });

  it("are those that were asked for", () => {
    const asked = { subnets: ["192.168.7.0/24", "fd00:7::/64"], gateways: ["192.168.7.254", "fd00:7::fe"] };
    assert.deepEqual(plan({ ...asked, ranges: ["192.168.7.128/25"] }), {
      ...{ subnet4: "192.168.7.0/24", gateway4: "192.168.7.254", range4: "192.168.7.128/25" },
      ...{ subnet6: "fd00:7::/64", gateway6: "fd00:7::fe" },
    });
  });

  it("are refused where they can't be, and by name of what is there", () => {
    const table: readonly (readonly [Partial<NetworkOrder>, RegExp])[] = [
      [{ subnets: ["10.1.0.0/16"] }, /subnet-overlaps .*10.0.0.0\/8, eth0/],
      [{ subnets: ["127.5.0.0/24"] }, /subnet-overlaps .*loopback/],
      [{ subnets: ["169.254.0.0/24"] }, /subnet-overlaps .*metadata/],
      [{ subnets: ["10.0.2.0/25"] }, /subnet-overlaps/],
      [{ subnets: ["fe80::/64"] }, /subnet-overlaps .*link-local/],
      [{ subnets: ["10.1.0.1/16"] }, /bad-subnet .*beyond its prefix .*did you mean 10.1.0.0\/16\?/],
      [{ subnets: ["10.1.0.0/99"] }, /bad-subnet .*no subnet/],
      [{ subnets: ["192.168.1.7"] }, /bad-subnet/],
      [{ subnets: ["192.168.1.0/31"] }, /bad-subnet .*\/8 to \/30/],
      [{ subnets: ["fd00::/48"] }, /bad-subnet .*\/64/],
      [{ subnets: ["192.168.1.0/24", "192.168.2.0/24"] }, /bad-subnet .*twice/],
      [{ gateways: ["x"] }, /bad-gateway/],
      [{ gateways: ["192.168.9.1"] }, /bad-gateway .*not in/],
      [{ subnets: ["192.168.9.0/24"], gateways: ["192.168.9.255"] }, /bad-gateway .*nobody's/],
      [{ gateways: ["fd00::1"] }, /bad-gateway .*no subnet of its family/],
      [{ ranges: ["192.168.9.0/25"] }, /bad-ip-range .*not in/],
      [{ subnets: ["192.168.9.0/24"], ranges: ["192.168.0.0/16"] }, /bad-ip-range/],
      [{ subnets: ["fd00:9::/64"], ranges: ["fd00:9::/80"] }, /bad-ip-range .*IPv4/],
    ];
    for (const [order, what] of table) {
      assert.throws(
        () => plan(order, { occupied: busy("10.0.0.0/8"), pools: [cidr("192.168.0.0/24")] }),
        (error) => error instanceof KilnError && what.test(`${error.reason} ${error.message} ${error.hint}`),
        JSON.stringify(order),
      );
    }
    assert.throws(
      () => plan({}, { occupied: busy("10.89.0.0/17", "10.89.128.0/17") }),
      (error) => error instanceof KilnError && error.reason === "no-free-subnet",
    );
  });

  it("touch nothing that is taken, and are found while there is room", () => {
    const range = fc.tuple(fc.nat(255), fc.integer({ min: 20, max: 32 })).map(([third, prefix]) => {
      const first = (0x0a590000n + BigInt(third) * 256n) >> BigInt(32 - prefix);
      return { family: 4, first: first << BigInt(32 - prefix), prefix } satisfies Cidr;
    });
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
        const occupied = ranges.map((one) => ({ range: one, by: "x" }));
        const free = Array.from({ length: 256 }, (_, at) => cidr(`10.89.${at}.0/24`)).find(
          (one) => !ranges.some((other) => overlaps(one, other)),
        );
        if (free === undefined) return;
        const { subnet4, gateway4 } = plan({}, { occupied });
        assert.deepEqual(cidr(subnet4), free);
        const gateway = parseAddress(gateway4);
        assert.ok(gateway !== undefined && contains(free, gateway) && isHost(free, gateway.value));
      }),
    );
  });
});
