import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { networkCard, networkSpec } from "../../../test/fixtures/network-specs.js";
import { hasReason } from "../../base/errors.js";
import { assertPlainCard, assertPlainNetwork } from "./plain.js";

const isBad = (error: unknown) => hasReason(error, "bad-network");

describe("what becomes part of rules", () => {
  const spec = networkSpec(1);
  const card = networkCard(spec, "web", 5, { aliases: ["www"] });

  it("is taken as it is made", () => {
    assertPlainNetwork(spec);
    assertPlainNetwork({ ...spec, subnet6: undefined, gateway6: undefined });
    assertPlainCard(card);
    assertPlainCard({ ...card, ip4: undefined });
  });

  it("is refused where it would be more than one word", () => {
    const networks = [
      ...[
        { id: "a" },
        { id: "../../etc".padEnd(64, "a") },
        { name: "a b" },
        { name: "a\nb" },
        { mtu: 100 },
        { mtu: Number.NaN },
      ],
      ...[
        { subnet4: "10.0.0.1/24" },
        { subnet4: "fd00::/64" },
        { gateway4: "10.0.0.1 accept" },
        { gateway6: undefined },
      ],
    ];
    for (const change of networks)
      assert.throws(() => assertPlainNetwork({ ...spec, ...change }), isBad, JSON.stringify(change));
    const cards = [
      ...[
        { vmId: "x" },
        { vmName: "a b" },
        { vmName: "" },
        { aliases: ["a\n10.0.0.1 bank"] },
        { index: 8 },
        { index: -1 },
      ],
      ...[{ mac: "01:00:00:00:00:00" }, { mac: "02:00:00:00:00:0" }, { mac: "02:00:00:00:00:01 accept" }],
      ...[{ ip4: "10.0.0.5 }" }, { ip4: "fd00::5" }, { ip6: "10.0.0.5" }, { ip6: "fe80::1%eth0" }],
    ];
    for (const change of cards)
      assert.throws(() => assertPlainCard({ ...card, ...change }), isBad, JSON.stringify(change));
  });
});
