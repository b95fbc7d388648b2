import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatCidr, parseCidr } from "./cidr.js";
import { newId } from "./ids.js";
import { bridgeName, cardName, MAX_CARDS, macFor, tableName, tapName, ulaFor } from "./networks.js";

describe("names of a network's parts", () => {
  it("fit into what Linux takes, and tell cards of one VM apart", () => {
    const id = newId();
    const taps = Array.from({ length: MAX_CARDS }, (_, index) => tapName(id, index));
    assert.equal(new Set(taps).size, MAX_CARDS);
    for (const name of [bridgeName(id), ...taps]) assert.match(name, /^k[nt][0-9a-f]{10,11}$/);
    assert.equal(tableName("0123456789abcdef"), "kiln_0123456789ab");
    assert.equal(cardName("0123456789abcdef", 1), "vm_0123456789ab_1");
  });

  it("MAC addresses are local, of one machine, and stay", () => {
    const [vm, network] = [newId(), newId()];
    assert.match(macFor(vm, network), /^02(:[0-9a-f]{2}){5}$/);
    assert.equal(macFor(vm, network), macFor(vm, network));
    assert.notEqual(macFor(vm, network), macFor(vm, newId()));
  });

  it("prefixes of IPv6 are ranges", () => {
    for (const id of [newId(), "0".repeat(64), "0a00000000".padEnd(64, "f")]) {
      const cidr = parseCidr(ulaFor(id)) ?? assert.fail(ulaFor(id));
      assert.match(ulaFor(id), /^fd.*\/64$/);
      assert.equal(formatCidr(cidr), ulaFor(id), "as everybody writes it");
    }
  });
});
