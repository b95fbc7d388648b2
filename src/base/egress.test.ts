import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../test/fixtures/seeded-random.js";
import { parseAddress } from "./cidr.js";
import { formatEgress, MAX_EGRESS_RULES, opens, parseEgress, resolvesNames } from "./egress.js";
import { hasReason } from "./errors.js";

describe("parseEgress", () => {
  it("reads all, none, and lists; nothing said is all", () => {
    assert.deepEqual(parseEgress(""), { kind: "all" });
    assert.deepEqual(parseEgress("all"), { kind: "all" });
    assert.deepEqual(parseEgress("none"), { kind: "none" });
    assert.deepEqual(parseEgress("dns"), { kind: "list", dns: true, rules: [] });
  });

  it("writes a list as it reads it", () => {
    const pairs = {
      "dns, 10.0.0.0/8": "dns,10.0.0.0/8",
      "192.0.2.7": "192.0.2.7/32",
      "192.0.2.7:443": "192.0.2.7/32:443",
      "10.0.0.0/8:80-90/udp": "10.0.0.0/8:80-90/udp",
      "[2001:DB8::]/32:53/tcp": "[2001:db8::]/32:53/tcp",
      "[fd00::1]:443": "[fd00::1]/128:443",
      "2001:db8::/32": "2001:db8::/32",
      "::/0,0.0.0.0/0": "::/0,0.0.0.0/0",
    };
    for (const [text, written] of Object.entries(pairs)) {
      assert.equal(formatEgress(parseEgress(text)), written);
      assert.deepEqual(parseEgress(written), parseEgress(text));
    }
  });

  it("refuses everything else by its reason", () => {
    const bad = [
      "all,none",
      "none,dns",
      "10.0.0.1/8",
      "10.0.0.0/8:0",
      "10.0.0.0/8:9-8",
      "10.0.0.0/8:80/icmp",
      "::ffff:10.0.0.0/104",
      "[::ffff:10.0.0.1]:80",
      "a",
    ];
    const many = Array.from({ length: MAX_EGRESS_RULES + 1 }, () => "10.0.0.1").join(",");
    for (const text of [...bad, ",", "10.0.0.0/8:", "10.0.0.0/8:70000", "[fd00::", "fe80::1%eth0", many]) {
      assert.throws(
        () => parseEgress(text),
        (error) => hasReason(error, "bad-egress"),
        text,
      );
    }
  });

  it("opens what its rules name, and names where it says so", () => {
    const policy = parseEgress("10.0.0.0/8,192.0.2.7:443/tcp,192.0.2.8:53,[2001:db8::]/32:80");
    const isOpen = (text: string, protocol: "tcp" | "udp", port: number) => {
      const address = parseAddress(text);
      assert.ok(address !== undefined);
      return opens(policy, address, protocol, port);
    };
    assert.ok(isOpen("10.255.0.1", "udp", 9));
    assert.ok(isOpen("192.0.2.7", "tcp", 443) && !isOpen("192.0.2.7", "udp", 443));
    assert.ok(
      isOpen("192.0.2.8", "udp", 53) && isOpen("192.0.2.8", "tcp", 53) && !isOpen("192.0.2.8", "tcp", 54),
    );
    assert.ok(isOpen("2001:db8::1", "tcp", 80) && !isOpen("2001:db9::1", "tcp", 80));
    assert.deepEqual(
      ["", "none", "dns", "10.0.0.0/8"].map((text) => resolvesNames(parseEgress(text))),
      [true, false, true, false],
    );
  });

  it("has an answer for any text", () => {
    const random = seededRandom(99);
    const letters = "0123456789abf:./,[]-udnsl ";
    for (let round = 0; round < 5_000; round++) {
      const text = Array.from({ length: random.below(30) }, () => letters[random.below(letters.length)]).join(
        "",
      );
      try {
        const policy = parseEgress(text);
        assert.deepEqual(parseEgress(formatEgress(policy)), policy);
      } catch (error) {
        assert.ok(hasReason(error, "bad-egress"), text);
      }
    }
  });
});
