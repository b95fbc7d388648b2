import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { networkCard, networkSpec } from "../../../test/fixtures/network-specs.js";
import type { Place } from "./place.js";
import { cableCard } from "./plan-cable.js";

const SPEC = networkSpec(7, { id: "0123456789abcdef".repeat(4), name: "blue", mtu: 1400 });
const CARD = networkCard(SPEC, "web", 5, { vmId: "fedcba9876543210".repeat(4), index: 2 });
const PROGRAMS = {
  ip: "/ip",
  nft: "/nft",
  dnsmasq: "/dnsmasq",
  bwrap: "/bwrap",
  tap: "/tap",
  lease: "/lease",
};
const HOST: Place = { holder: undefined, servers: [], upstream: [], prefix: [] };
const USER: Place = { ...HOST, holder: 77 };

const plan = (place: Place, spec = SPEC, rules = "/run/rules.nft") =>
  cableCard(PROGRAMS, place, rules, spec, CARD, 9);

describe("cableCard", () => {
  it("makes a port with the card's own name, and sets it up once its rules are loaded", () => {
    const { make, ...card } = plan(HOST);
    assert.deepEqual(card, {
      ...{ kind: "tap", on: "network", name: "tap3", peer: "port3", mtu: 1400, within: [] },
    });
    assert.deepEqual(make, [
      "nsenter --target 9 --net -- '/ip' link delete ktfedcba98762 2>/dev/null || :",
      "nsenter --target 9 --net -- '/ip' link add ktfedcba98762 mtu 1400 type veth peer name port3 mtu 1400 netns $$",
      "nsenter --target 9 --net -- '/ip' link set ktfedcba98762 addrgenmode none master kn0123456789",
      "nsenter --target 9 --net -- '/nft' -f '/run/rules.nft'",
      "nsenter --target 9 --net -- '/ip' link set ktfedcba98762 up",
    ]);
  });

  it("leads an ordinary user's VMM into the user namespace of the place, and no further", () => {
    const { make, within } = plan(USER);
    assert.deepEqual(within, ["nsenter", "--target", "77", "--user", "--preserve-credentials", "--"]);
    assert.ok(
      make.every((line) => line.startsWith("nsenter --target 77 --net -- ")),
      make.join("\n"),
    );
  });

  it("cuts a port off where VMs are not to reach each other", () => {
    const isolated = plan(HOST, { ...SPEC, isolated: true }).make;
    assert.ok(isolated.some((line) => line.endsWith("type bridge_slave isolated on")));
    assert.ok(!plan(HOST).make.some((line) => line.includes("isolated")));
  });

  it("says any path as one word", () => {
    const line = plan(HOST, SPEC, "/a b/$(c)'d").make.find((one) => one.includes("-f ")) ?? "";
    const word = line.slice(line.indexOf("-f ") + 3);
    assert.equal(execFileSync("sh", ["-c", `printf %s ${word}`], { encoding: "utf8" }), "/a b/$(c)'d");
  });
});
