import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { networkCard, networkSpec } from "../../../test/fixtures/network-specs.js";
import type { PortMapping } from "../../base/ports.js";
import { parseListing } from "./found.js";
import { planPorts, planPublish, planUnpublish } from "./plan-publish.js";

describe("published ports", () => {
  const spec = networkSpec(1);
  const card = networkCard(spec, "web", 5);
  const port = (changes: Partial<PortMapping> = {}): PortMapping => ({
    ...{ hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" },
    ...changes,
  });
  const elementIn = (text: string) => /^add element inet \S+ (.*)$/m.exec(text)?.[1];

  it("lead to the card's address of the port's family, of all addresses of the host or of one", () => {
    for (const [changes, element] of [
      [{}, "any4 { tcp . 8080 : 10.89.1.5 . 80 }"],
      [{ hostIp: "0.0.0.0", protocol: "udp" }, "any4 { udp . 8080 : 10.89.1.5 . 80 }"],
      [{ hostIp: "192.0.2.1" }, "at4 { 192.0.2.1 . tcp . 8080 : 10.89.1.5 . 80 }"],
      [{ hostIp: "::" }, `any6 { tcp . 8080 : ${card.ip6} . 80 }`],
      [{ hostIp: "2001:DB8::1" }, `at6 { 2001:db8::1 . tcp . 8080 : ${card.ip6} . 80 }`],
    ] as const) {
      assert.equal(elementIn(planPublish(spec, card, port(changes))), element);
    }
  });

  it("lead nowhere of the host's loopback, of a family that the card has not, or of what is no port", () => {
    for (const changes of [
      { hostIp: "127.0.0.1" },
      { hostIp: "::1" },
      { hostIp: "x }; flush ruleset" },
      { hostPort: 0 },
      { vmPort: 65_536 },
      { hostPort: 1.5 },
    ]) {
      assert.equal(planPublish(spec, card, port(changes)), "", JSON.stringify(changes));
      assert.equal(planUnpublish(spec, card, port(changes)), "", JSON.stringify(changes));
    }
    assert.equal(planPublish(spec, { ...card, ip6: undefined }, port({ hostIp: "::" })), "");
  });

  it("are found again by what nft says of them, and removed where they are nobody's", () => {
    const element = (key: unknown[], to: unknown[]) => [{ concat: key }, { concat: to }];
    const listing = parseListing(
      JSON.stringify({
        nftables: [
          {
            map: {
              name: "any4",
              elem: [element(["tcp", 8080], ["10.89.1.5", 80]), element(["tcp", 9], ["10.89.1.5", 9])],
            },
          },
          { map: { name: "at6", elem: [element(["2001:db8::1", "udp", 53], [card.ip6, 53])] } },
          { map: { name: "cards4", elem: [["10.89.1.5", { goto: { target: "vm_a_0" } }]] } },
          { map: { name: "at4", elem: ["nonsense", [null, 3], []] } },
          { map: { name: "toString", elem: [element(["tcp", 1], ["10.89.1.5", 1])] } },
        ],
      }),
    );
    const ports = [port(), port({ hostIp: "2001:db8::1", hostPort: 53, vmPort: 53, protocol: "udp" })];
    const removed = (text: string) =>
      text.split("\n").flatMap((line) => /^delete element inet \S+ (.*)$/.exec(line)?.[1] ?? []);
    const kept = planPorts(listing, spec, [{ ...card, ports }]);
    assert.deepEqual(removed(kept), ["any4 { tcp . 9 }"]);
    assert.equal(elementIn(kept), "any4 { tcp . 8080 : 10.89.1.5 . 80 }", "what is missing is made");
    assert.deepEqual(removed(planPorts(listing, spec, [card])), [
      "any4 { tcp . 8080 }",
      "any4 { tcp . 9 }",
      "at6 { 2001:db8::1 . udp . 53 }",
    ]);
  });
});
