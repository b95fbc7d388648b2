import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KilnError } from "./errors.js";
import {
  checkAlias,
  checkMac,
  formatNetworkAsk,
  isNetworkName,
  type NetworkAsk,
  parseNetworkFlag,
} from "./network-flag.js";

const NONE: NetworkAsk = { name: "", ip: "", ip6: "", mac: "", aliases: [] };

function assertRefused(body: () => unknown, what: RegExp, text: string): void {
  assert.throws(
    body,
    (error) =>
      error instanceof KilnError &&
      what.test(`${error.reason} ${error.message}`) &&
      !error.message.includes("\n") &&
      error.hint !== undefined,
    text,
  );
}

describe("--network", () => {
  it("is a mode or a network with what the VM is to have of it", () => {
    assert.equal(parseNetworkFlag("user"), "user");
    assert.equal(parseNetworkFlag("none"), "none");
    for (const [text, wanted] of [
      ["web", { name: "web" }],
      ["web:ip=10.89.0.5", { name: "web", ip: "10.89.0.5" }],
      [
        "web:ip=10.89.0.5,ip6=FD00:0::5,mac=02-00-00-00-00-AA,alias=DB,alias=db.local,alias=db",
        {
          name: "web",
          ip: "10.89.0.5",
          ip6: "fd00::5",
          mac: "02:00:00:00:00:aa",
          aliases: ["db", "db.local"],
        },
      ],
      ["cni:net.1", { name: "cni:net.1" }],
      [
        "cni:net:ip=10.1.0.5,mac=02:00:00:00:00:01",
        { name: "cni:net", ip: "10.1.0.5", mac: "02:00:00:00:00:01" },
      ],
      ["cni:net:alias=db", { name: "cni:net", aliases: ["db"] }],
      ["cni:ip=10.89.0.5", { name: "cni", ip: "10.89.0.5" }],
      // Podman's and Docker's.
      [
        "name=web,alias=db,mac-address=02:00:00:00:00:01",
        { name: "web", aliases: ["db"], mac: "02:00:00:00:00:01" },
      ],
    ] as const) {
      assert.deepEqual(parseNetworkFlag(text), { ...NONE, ...wanted }, text);
    }
  });

  it("refuses what can't be, in one line", () => {
    for (const [text, what] of [
      ["", /bad-network.*name is missing/],
      [":ip=10.0.0.1", /name is missing/],
      ["cni:", /bad-network.*"cni:" is no network's name/],
      ["cni:a/b", /bad-network/],
      ["host", /network-not-supported.*never shares the host's/],
      ["container:db", /network-not-supported.*kernel of its own/],
      ["ns:/run/netns/x", /network-not-supported/],
      ["default", /no network's name/],
      ["user:ip=10.0.0.1", /user takes no addresses/],
      ["a b", /no network's name/],
      ["web:", /there is no ""/],
      ["web:ip=10.0.0", /bad-ip/],
      ["web:ip=fd00::1", /bad-ip.*IPv4/],
      ["web:ip6=10.0.0.1", /bad-ip.*IPv6/],
      ["web:mac=01:00:00:00:00:00", /bad-mac.*group/],
      ["web:mac=2:0:0:0:0:0", /bad-mac/],
      ["web:alias=-x", /bad-alias/],
      ["web:alias=10.0.0.1", /bad-alias/],
      ["web:alias=localhost", /bad-alias/],
      ["web:alias=db.LocalHost", /bad-alias/],
      ["web:alias=ip6-localhost", /bad-alias/],
      ["web:ip=10.0.0.1,ip=10.0.0.2", /twice/],
      ["web:driver-opt=x", /no "driver-opt"/],
      ["alias=x", /no name=/],
      [`web:${Array.from({ length: 33 }, (_, at) => `alias=a${at}`).join(",")}`, /more than 32/],
    ] as const) {
      assertRefused(() => parseNetworkFlag(text), what, text);
    }
  });

  it("is the same when it is written again, and throws nothing but refusals", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9]{1,5}(:[a-z0-9=.:,"-]{0,40})?$/), (text) => {
        try {
          const ask = parseNetworkFlag(text);
          if (typeof ask !== "string") assert.deepEqual(parseNetworkFlag(formatNetworkAsk(ask)), ask);
        } catch (error) {
          assert.ok(error instanceof KilnError, String(error));
        }
      }),
    );
  });
});

describe("names and addresses on a network", () => {
  it("are those that resolvers and cards take", () => {
    assert.equal(checkMac("AA:bb:cc:dd:ee:ff"), "aa:bb:cc:dd:ee:ff");
    assertRefused(() => checkMac("00:00:00:00:00:00"), /nobody's/, "nobody's");
    assert.equal(checkAlias("My_DB-1.example"), "my_db-1.example");
    for (const text of ["", ".", "a..b", "a b", "é", "a.1", "x".repeat(64), `${"a.".repeat(127)}ab`])
      assertRefused(() => checkAlias(text), /bad-alias/, text);
    assert.ok(isNetworkName("web-1"));
    for (const text of ["host", "none", "ab".repeat(32), "-x", ""]) assert.ok(!isNetworkName(text), text);
  });
});
