import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { networkCard, networkSpec } from "../../../test/fixtures/network-specs.js";
import { bridgeName, tableName, tapName } from "../../base/networks.js";
import { type Listing, parseListing } from "./found.js";
import { nameOf } from "./live.js";
import { lossOf, wordsOf } from "./lost.js";

const spec = networkSpec(1);
const card = networkCard(spec, "web", 5);
const live = { spec, cards: new Map([[nameOf(card), card]]) };
const tap = tapName(card.vmId, 0);
const links = new Set(["lo", bridgeName(spec.id), tap]);

function counters(...all: readonly (readonly [family: string, table: string, name: string])[]): Listing {
  const nftables = all.map(([family, table, name]) => ({ counter: { family, table, name, packets: 0 } }));
  return parseListing(JSON.stringify({ nftables }));
}

const own = ["inet", tableName(spec.id), nameOf(card)] as const;
const ofTap = ["netdev", `kiln_${nameOf(card)}`, "forged"] as const;

describe("what a network has lost", () => {
  it("is nothing where all is there", () => {
    assert.equal(lossOf(live, { links, before: links, counters: counters(own, ofTap) }), undefined);
  });

  it("is the rules of a card, of either family", () => {
    for (const left of [[own], [ofTap], []]) {
      const loss = lossOf(live, { links, before: links, counters: counters(...left) });
      assert.deepEqual(loss, { isBridge: false, rules: ["web"] });
    }
  });

  it("is not the rules of a card that has only come, or has gone", () => {
    const none = new Set(["lo", bridgeName(spec.id)]);
    assert.equal(lossOf(live, { links, before: none, counters: [] }), undefined);
    assert.equal(lossOf(live, { links: none, before: links, counters: [] }), undefined);
  });

  it("is the bridge, with nobody on it too", () => {
    const empty = { spec, cards: new Map() };
    const loss = lossOf(empty, { links: new Set(["lo"]), before: links, counters: [] });
    assert.deepEqual(loss, { isBridge: true, rules: [] });
  });

  it("is told in words that end", () => {
    assert.equal(wordsOf({ isBridge: true, rules: [] }), "its bridge");
    const many = ["a", "b", "c", "d", "e", "f", "g"];
    assert.equal(
      wordsOf({ isBridge: true, rules: many }),
      "its bridge, the rules of a, b, c, d, e and 2 more",
    );
  });
});
