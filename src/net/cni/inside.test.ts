import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { linkOf } from "./inside.js";

const address = (local: string, prefixlen: number, scope = "global") => ({
  ...{ family: local.includes(":") ? "inet6" : "inet", local, prefixlen, scope },
});
const link = (...addr_info: readonly unknown[]) =>
  JSON.stringify([{ ifname: "eth0", mtu: 1450, address: "02:00:00:00:00:01", addr_info }]);

describe("what plugins have made of a link", () => {
  it("is its addresses and the routers of both families", () => {
    const text = link(address("10.1.0.5", 24), address("fd00::5", 64), address("fe80::1", 64, "link"));
    const routes4 = JSON.stringify([
      { dst: "default", gateway: "10.1.0.1" },
      { dst: "10.1.0.0/24", protocol: "kernel" },
    ]);
    const routes6 = JSON.stringify([{ dst: "fd00::/64" }, { dst: "default", gateway: "fd00::1" }]);
    assert.deepEqual(linkOf(text, routes4, routes6), {
      ...{ mac: "02:00:00:00:00:01", mtu: 1450, addresses: ["10.1.0.5/24", "fd00::5/64"] },
      ...{ gateway4: "10.1.0.1", gateway6: "fd00::1" },
    });
  });

  it("is a single address where its network lies behind the router", () => {
    const routes = JSON.stringify([
      { dst: "default", gateway: "10.1.0.1" },
      { dst: "10.1.0.0/24", gateway: "10.1.0.1" },
      { dst: "10.1.0.1", scope: "link" },
    ]);
    assert.deepEqual(linkOf(link(address("10.1.0.5", 24)), routes, "").addresses, ["10.1.0.5/32"]);
  });

  it("may be nothing but the link", () => {
    const { addresses, gateway4, gateway6 } = linkOf(link(), "", "[]\n");
    assert.deepEqual([addresses, gateway4, gateway6], [[], "", ""]);
  });

  it("is refused where it is not what ip writes", () => {
    for (const text of ["", "[]", "{}", '[{"mtu":1500}]', '[{"mtu":1500,"address":"01:00:00:00:00:01"}]'])
      assert.throws(() => linkOf(text, "", ""), text);
  });
});
