import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NetworkSpec } from "../../base/networks.js";
import { resolversOf } from "./resolvers.js";

const SPEC: NetworkSpec = {
  driver: "bridge",
  ...{ id: "a".repeat(64), name: "blue", internal: false, isolated: false, mtu: 1500 },
  ...{ gateway4: "10.89.0.1", gateway6: "fdaa::1", dnsDisabled: false, options: {} },
};

describe("resolversOf", () => {
  it("names the bridge's addresses, of which there may be one", () => {
    assert.deepEqual(resolversOf(SPEC), ["10.89.0.1", "fdaa::1"]);
    assert.deepEqual(resolversOf({ ...SPEC, gateway4: undefined }), ["fdaa::1"]);
  });

  it("names none where the network has no resolver", () => {
    assert.deepEqual(resolversOf({ ...SPEC, dnsDisabled: true }), []);
  });
});
