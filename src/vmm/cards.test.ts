import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { aroundTaps, checkCards, hasCard, tapDescriptor, tapsOf } from "./cards.js";
import { qemuCapabilities } from "./qemu/look.js";
import type { CardSpec } from "./types.js";

const CARD: CardSpec = {
  id: "eth0",
  mac: "02:00:00:00:00:01",
  backend: { kind: "tap", on: "user", name: "tap0", peer: "slirp0", mtu: 1500, make: [], within: [] },
};
const STREAM: CardSpec = { ...CARD, backend: { kind: "stream" } };

/** The card of a named network. */
const named = (id: string): CardSpec => ({
  ...{ id, mac: "02:00:00:00:00:02" },
  backend: { kind: "descriptor", around: (argv, fd) => [`${id}@${fd}`, ...argv] },
});

const check = (cards: readonly CardSpec[], userNetwork = true) =>
  checkCards(
    { cards },
    { ...qemuCapabilities("tcg", userNetwork), cards: undefined, networkCards: undefined },
  );

describe("checkCards", () => {
  it("takes a VM without a card, also where there is no user network, and one with a card", () => {
    check([]);
    check([], false);
    check([CARD]);
    assert.equal(hasCard({ cards: [] }, "tap"), false);
    assert.equal(hasCard({ cards: [CARD] }, "tap"), true);
    assert.deepEqual(
      tapsOf({ cards: [STREAM, CARD] }).map(({ name }) => name),
      ["tap0"],
    );
  });

  it("asks of a card that others connect to nothing of the host, and takes it where the VMM has such cards alone", () => {
    checkCards({ cards: [STREAM] }, qemuCapabilities("tcg", false));
    for (const wrong of [() => check([STREAM]), () => checkCards({ cards: [CARD] }, qemuCapabilities("tcg"))])
      assert.throws(wrong, (error) => hasReason(error, "no-such-card"));
  });

  it("takes cards on named networks beside that of the user network, where the VMM has taps as descriptors", () => {
    const cards = [STREAM, ...Array.from({ length: 8 }, (_, index) => named(`net${index}`))];
    checkCards({ cards }, qemuCapabilities("tcg", false));
    for (const [wrong, reason] of [
      [() => checkCards({ cards: [...cards, named("net8")] }, qemuCapabilities("tcg")), "too-many-cards"],
      [() => check([named("net0")]), "no-such-card"],
    ] as const)
      assert.throws(wrong, (error) => hasReason(error, reason));
  });

  it("takes them beside that of the user network where the VMM opens its taps by name", () => {
    const { backend } = CARD;
    const tap = (id: string): CardSpec => ({ ...CARD, id, backend: { ...backend, on: "network" } as never });
    const capabilities = {
      ...qemuCapabilities("tcg", false),
      cards: undefined,
      networkCards: "tap",
    } as const;
    checkCards({ cards: [tap("net0"), tap("net1")] }, capabilities);
    const all = [CARD, ...Array.from({ length: 8 }, (_, index) => tap(`net${index}`))];
    checkCards({ cards: all }, { ...capabilities, userNetwork: true });
    for (const [cards, reason] of [
      [all, "no-user-network"],
      [[named("net0")], "no-such-card"],
      [[...all, tap("net8")], "too-many-cards"],
    ] as const)
      assert.throws(
        () => checkCards({ cards }, capabilities),
        (error) => hasReason(error, reason),
      );
  });

  it("puts what makes taps around the jail, each at a number of its own", () => {
    const spec = { cards: [STREAM, named("net0"), named("net1")] };
    assert.deepEqual(aroundTaps(spec, ["bwrap"]), ["net1@514", "net0@513", "bwrap"]);
    assert.deepEqual(
      spec.cards.map((card) => tapDescriptor(spec, card)),
      [512, 513, 514],
    );
  });

  const refusals: readonly (readonly [string, readonly CardSpec[], string])[] = [
    ["a second card", [CARD, { ...CARD, id: "eth1" }], "too-many-cards"],
    ["two cards with one id", [CARD, named("eth0")], "bad-card-id"],
    ["an id that is more words than one", [{ ...CARD, id: "eth0,server=off" }], "bad-card-id"],
    ["an id that QEMU takes for none", [{ ...CARD, id: "0eth" }], "bad-card-id"],
    ["an address that is more words than one", [{ ...CARD, mac: "02:00:00:00:00:01,x=y" }], "bad-mac"],
  ];
  for (const [what, cards, reason] of refusals) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => check(cards),
        (error) => hasReason(error, reason),
      );
    });
  }

  it("refuses a card of the user network where the host has none", () => {
    assert.throws(
      () => check([CARD], false),
      (error) => hasReason(error, "no-user-network"),
    );
  });
});
