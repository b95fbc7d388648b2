import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { contains, parseAddress, parseCidr } from "../../base/cidr.js";
import { KilnError } from "../../base/errors.js";
import { macFor } from "../../base/networks.js";
import { isHost } from "./address-plan.js";
import { type CardAddresses, chooseAddresses, type TakenAddresses } from "./choose-addresses.js";
import { DEFAULT_MTU, type NetworkRecord } from "./record.js";

const ID = "a".repeat(64);
const NETWORK: NetworkRecord = {
  ...{
    version: 1,
    id: ID,
    name: "web",
    createdAt: "",
    driver: "bridge",
    subnet4: "10.89.0.0/29",
    gateway4: "10.89.0.1",
  },
  ...{
    range4: "",
    subnet6: "fd00::/64",
    gateway6: "fd00::1",
    internal: false,
    isolated: false,
    mtu: DEFAULT_MTU,
  },
  ...{ dnsDisabled: false, options: {}, labels: {} },
};
const NOTHING: CardAddresses = { ip: "", ip6: "", mac: "" };
const vm = (at: number) => at.toString(16).padStart(64, "0");

describe("a VM's addresses on a network", () => {
  it("are the first that nobody has, with the same last part in both families", () => {
    const first = chooseAddresses(NETWORK, vm(1), NOTHING, []);
    assert.deepEqual(first, { ip: "10.89.0.2", ip6: "fd00::2", mac: macFor(vm(1), ID) });
    const second = chooseAddresses(NETWORK, vm(2), NOTHING, [{ ...first, by: "VM a" }]);
    assert.deepEqual([second.ip, second.ip6], ["10.89.0.3", "fd00::3"]);
    const odd = chooseAddresses(NETWORK, vm(2), NOTHING, [
      { ip: "10.89.0.2", ip6: "fd00::3", mac: "", by: "VM a" },
    ]);
    assert.deepEqual([odd.ip, odd.ip6], ["10.89.0.3", "fd00::2"]);
    const six = chooseAddresses({ ...NETWORK, subnet4: "", gateway4: "" }, vm(1), NOTHING, []);
    assert.deepEqual([six.ip, six.ip6], ["", "fd00::2"]);
    const part = { ...NETWORK, subnet4: "10.89.0.0/24", range4: "10.89.0.128/25" };
    assert.equal(chooseAddresses(part, vm(1), NOTHING, []).ip, "10.89.0.128");
  });

  it("are those that were asked for, or are refused by whose they are", () => {
    const wanted = { ip: "10.89.0.6", ip6: "fd00::abc", mac: "02:00:00:00:00:01" };
    assert.deepEqual(chooseAddresses(NETWORK, vm(1), wanted, []), wanted);
    const other = [{ ...wanted, by: "VM db" }];
    const table: readonly (readonly [Partial<CardAddresses>, RegExp])[] = [
      [{ ip: "10.89.0.6" }, /ip-in-use .*VM db's/],
      [{ ip6: "fd00:0::abc" }, /ip-in-use/],
      [{ mac: "02:00:00:00:00:01" }, /mac-in-use .*VM db's/],
      [{ ip: "10.89.0.1" }, /bad-ip .*gateway/],
      [{ ip: "10.89.0.0" }, /bad-ip .*nobody's/],
      [{ ip: "10.89.0.7" }, /bad-ip .*nobody's/],
      [{ ip: "10.90.0.5" }, /bad-ip .*not in/],
      [{ ip6: "fd01::5" }, /bad-ip .*not in/],
    ];
    for (const [ask, what] of table) {
      assert.throws(
        () => chooseAddresses(NETWORK, vm(2), { ...NOTHING, ...ask }, other),
        (error) => error instanceof KilnError && what.test(`${error.reason} ${error.message}`),
        JSON.stringify(ask),
      );
    }
    assert.throws(
      () => chooseAddresses({ ...NETWORK, subnet6: "" }, vm(1), { ...NOTHING, ip6: "fd00::5" }, []),
      (error) => error instanceof KilnError && /no IPv6/.test(error.message),
    );
  });

  it("are all different until there are no more, whoever asked for which", () => {
    const subnet = parseCidr(NETWORK.subnet4) ?? assert.fail();
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 2, max: 6 })), (asked) => {
        const taken: TakenAddresses[] = asked.map((at) => ({
          ip: `10.89.0.${at}`,
          ip6: "",
          mac: "",
          by: "x",
        }));
        for (let at = taken.length; at < 5; at++) {
          const { ip, ip6, mac } = chooseAddresses(NETWORK, vm(at), NOTHING, taken);
          const address = parseAddress(ip) ?? assert.fail(ip);
          assert.ok(contains(subnet, address) && isHost(subnet, address.value) && ip !== NETWORK.gateway4);
          assert.ok(!taken.some((other) => other.ip === ip || other.ip6 === ip6 || other.mac === mac));
          taken.push({ ip, ip6, mac, by: "x" });
        }
        assert.throws(
          () => chooseAddresses(NETWORK, vm(9), NOTHING, taken),
          (error) => error instanceof KilnError && error.reason === "no-free-address",
        );
      }),
    );
  });
});
