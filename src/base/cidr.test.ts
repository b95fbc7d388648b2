import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../test/fixtures/seeded-random.js";
import {
  contains,
  formatAddress,
  formatCidr,
  lastOf,
  overlaps,
  parseAddress,
  parseCidr,
  sizeOf,
} from "./cidr.js";

const cidr = (text: string) => parseCidr(text) ?? assert.fail(text);
const address = (text: string) => parseAddress(text) ?? assert.fail(text);

describe("parseCidr", () => {
  it("reads ranges of both families, and one address as a range of one", () => {
    assert.deepEqual(cidr("10.89.0.0/16"), { family: 4, first: 0x0a590000n, prefix: 16 });
    assert.deepEqual(cidr("fd00::/8"), { family: 6, first: 0xfdn << 120n, prefix: 8 });
    assert.equal(sizeOf(cidr("192.0.2.7")), 1n);
    assert.equal(sizeOf(cidr("::/0")), 1n << 128n);
  });

  it("refuses what is none, and bits beyond the prefix", () => {
    const none = [
      "",
      "/",
      "10.0.0.0/",
      "10.0.0.1/24",
      "10.0.0.0/33",
      "10.0.0/8",
      "10.0.0.0/8/8",
      "10.0.0.0/+8",
    ];
    for (const text of [...none, "fd00::1/64", "fe80::1%eth0", "10.0.0.0/08", "::/129", "1.2.3.4 ", "a"]) {
      assert.equal(parseCidr(text), undefined, text);
    }
  });
});

describe("addresses", () => {
  it("are written as RFC 5952 has it", () => {
    const pairs = {
      "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
      "2001:0db8::0001": "2001:db8::1",
      "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
      "1:0:0:2:0:0:0:3": "1:0:0:2::3",
      "0:0:0:0:0:0:0:0": "::",
      "FE80:0::": "fe80::",
      "::1": "::1",
      "::ffff:10.0.0.1": "::ffff:a00:1",
      "10.0.0.1": "10.0.0.1",
    };
    for (const [text, written] of Object.entries(pairs)) assert.equal(formatAddress(address(text)), written);
    assert.equal(formatCidr(cidr("10.0.0.1")), "10.0.0.1/32");
  });

  it("stay the same through their text", () => {
    const random = seededRandom(9);
    for (let round = 0; round < 500; round++) {
      const groups = Array.from({ length: 8 }, () => random.below(2) * random.below(65536));
      const value = groups.reduce((sum, group) => sum * 65536n + BigInt(group), 0n);
      assert.equal(address(formatAddress({ family: 6, value })).value, value);
    }
  });
});

describe("ranges", () => {
  it("overlap where one begins within the other, of one family only", () => {
    assert.ok(overlaps(cidr("10.0.0.0/8"), cidr("10.89.1.0/24")));
    assert.ok(overlaps(cidr("10.89.1.0/24"), cidr("10.0.0.0/8")));
    assert.ok(!overlaps(cidr("10.89.0.0/24"), cidr("10.89.1.0/24")));
    assert.ok(!overlaps(cidr("0.0.0.0/0"), cidr("::/0")));
  });

  it("contain their first and last address and no other family's", () => {
    const range = cidr("10.89.1.0/24");
    assert.ok(contains(range, address("10.89.1.0")) && contains(range, address("10.89.1.255")));
    assert.ok(!contains(range, address("10.89.2.0")) && !contains(range, { family: 6, value: range.first }));
    assert.equal(formatAddress({ family: 4, value: lastOf(range) }), "10.89.1.255");
  });
});
