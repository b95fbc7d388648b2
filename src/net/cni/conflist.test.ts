import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { parseConflist } from "./conflist.js";

const list = (change: Record<string, unknown> = {}) =>
  JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge" }], ...change });

describe("a conflist", () => {
  it("says its name, version and plugins, which keep all that is theirs", () => {
    const plugins = [
      { type: "bridge", ipam: { type: "host-local" } },
      { type: "portmap", capabilities: { portMappings: true, mac: false } },
    ];
    const network = parseConflist(list({ plugins, disableCheck: true, more: 1 }));
    assert.deepEqual(
      [network.name, network.cniVersion, network.disableCheck, network.disableGC],
      ["net", "1.0.0", true, false],
    );
    assert.deepEqual(network.plugins[0]?.config, plugins[0]);
    assert.deepEqual(
      network.plugins.map(({ capabilities }) => capabilities),
      [[], ["portMappings"]],
    );
  });

  it("is of the newest version that it names and kiln knows", () => {
    const versionOf = (change: Record<string, unknown>) => parseConflist(list(change)).cniVersion;
    assert.equal(versionOf({ cniVersion: "0.3.0" }), "0.3.1");
    assert.equal(versionOf({ cniVersion: "0.4.0", cniVersions: ["0.3.1", "1.1.0", "2.0.0"] }), "1.1.0");
    assert.equal(versionOf({ cniVersion: undefined, cniVersions: ["1.0.0"] }), "1.0.0");
  });

  it("may be a file of one plugin", () => {
    const network = parseConflist('{"cniVersion":"0.3.1","name":"lo","type":"loopback"}');
    assert.deepEqual(
      network.plugins.map(({ type }) => type),
      ["loopback"],
    );
  });

  const BAD: readonly [string, string, RegExp][] = [
    ["no JSON", "{", /it is no JSON/],
    ["a list", "[]", /^name/],
    ["nothing", "null", /the file/],
    ["no name", list({ name: undefined }), /^name/],
    ["a path for a name", list({ name: "../net" }), /^name: it is no network's name/],
    ["a colon in its name", list({ name: "a:b" }), /^name/],
    ["no plugin", list({ plugins: [] }), /^plugins: it names no plugin/],
    ["plugins without end", list({ plugins: Array(33).fill({ type: "x" }) }), /more than 32/],
    ["a plugin without a type", list({ plugins: [{}] }), /^plugins\.0\.type/],
    ["a path for a type", list({ plugins: [{ type: "../../bin/sh" }] }), /^plugins\.0\.type/],
    ["dots for a type", list({ plugins: [{ type: ".." }] }), /^plugins\.0\.type/],
    ["capabilities that are none", list({ plugins: [{ type: "x", capabilities: 1 }] }), /capabilities/],
    ["no version", list({ cniVersion: undefined }), /names no cniVersion/],
    ["an old version", list({ cniVersion: "0.2.0" }), /it is of CNI 0\.2\.0: kiln knows 0\.3\.1/],
    ["a number for a version", list({ cniVersion: 1 }), /^cniVersion/],
    ["a word for a flag", list({ disableCheck: "yes" }), /^disableCheck/],
  ];
  for (const [what, text, words] of BAD)
    it(`with ${what} is refused`, () => {
      assert.throws(
        () => parseConflist(text),
        (error: unknown) => hasReason(error, "bad-cni-config") && words.test((error as Error).message),
      );
    });
});
