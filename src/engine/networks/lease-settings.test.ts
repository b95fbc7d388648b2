import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultConfig, type VmConfig } from "../vm/vm-config.js";
import { leasedCards, leaseSettings } from "./lease-settings.js";

const ID = "0123456789abcdef".repeat(4);
const record = (change: Partial<VmConfig>) => ({ id: ID, config: { ...defaultConfig("web"), ...change } });
const on = (networkId: string, change = {}) => ({
  ...{ name: networkId, networkId, mac: "02:00:00:00:00:05", ip: "10.89.0.5", ip6: "fd00::5", aliases: [] },
  ...change,
});
/** `inner` leads nowhere. */
const networks = {
  get: (id: string) => ({ record: { internal: id === "inner" } }),
} as unknown as Parameters<typeof leasedCards>[1];
const routed = (change: Partial<VmConfig>) =>
  leasedCards(record(change), networks).map(({ card }) => card.lease?.routed);

describe("what a guest is told that asks for its address", () => {
  it("is its host name, and what was asked for of resolvers and domains", () => {
    const none = { v4: false, v6: false };
    const plain = leaseSettings(record({}), none);
    assert.deepEqual([plain.hostname, plain.dns, plain.search], [ID.slice(0, 12), undefined, undefined]);
    const asked = leaseSettings(record({ hostname: "h", dns: ["9.9.9.9"], dnsSearch: ["."] }), none);
    assert.deepEqual([asked.hostname, asked.dns, asked.search], ["h", ["9.9.9.9"], []]);
  });

  it("is a way out by one card alone", () => {
    const [no, yes] = [
      { v4: false, v6: false },
      { v4: true, v6: true },
    ];
    const both = [on("inner"), on("blue"), on("red")];
    assert.deepEqual(routed({ network: "none", networks: both }), [no, no, yes]);
    assert.deepEqual(routed({ network: "user", networks: both }), [yes, yes, yes]);
    const only4 = [on("blue", { ip6: "" }), on("red")];
    assert.deepEqual(routed({ network: "none", networks: only4 }), [no, { v4: true, v6: false }]);
  });
});
