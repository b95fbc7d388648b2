import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseConflist } from "./conflist.js";
import { hasVerb, planCallConfig, planCallEnvironment, planGcConfig } from "./plan-call.js";

const network = parseConflist(
  JSON.stringify({
    ...{ cniVersion: "1.0.0", name: "net" },
    plugins: [
      { type: "bridge", args: { cni: { labels: [] }, other: 1 }, name: "mine" },
      { type: "portmap", capabilities: { portMappings: true, ips: true } },
    ],
  }),
);
const [bridge, portmap] = network.plugins;
const attachment = {
  ...{ containerId: "c0", ifName: "eth1", netns: "/proc/7/ns/net", mac: "02:00:00:00:00:01" },
  ...{ ips: ["10.1.0.9"], capabilities: { portMappings: [1], bandwidth: {} } },
};

describe("a plugin's call", () => {
  it("has the attachment in its environment, and nothing of kilnd's", () => {
    const { PATH, LANG, ...cni } = planCallEnvironment("ADD", ["/a", "/b"], attachment);
    assert.ok(PATH?.includes("/usr/sbin") && LANG === "C");
    assert.deepEqual(cni, {
      ...{ CNI_COMMAND: "ADD", CNI_PATH: "/a:/b", CNI_CONTAINERID: "c0", CNI_IFNAME: "eth1" },
      ...{ CNI_ARGS: "IgnoreUnknown=1;MAC=02:00:00:00:00:01", CNI_NETNS: "/proc/7/ns/net" },
    });
    const gone = planCallEnvironment("DEL", [], { ...attachment, netns: "", mac: "" });
    assert.deepEqual([gone.CNI_NETNS, gone.CNI_ARGS], [undefined, "IgnoreUnknown=1"]);
  });

  it("has the network's name and version, what was asked for, and capabilities where it says that it has them", () => {
    assert.ok(bridge !== undefined && portmap !== undefined);
    assert.deepEqual(planCallConfig(network, bridge, attachment, undefined), {
      ...{ type: "bridge", name: "net", cniVersion: "1.0.0" },
      args: { cni: { labels: [], ips: ["10.1.0.9"], mac: attachment.mac }, other: 1 },
    });
    const config = planCallConfig(network, portmap, attachment, { cniVersion: "1.0.0" });
    assert.deepEqual(config.runtimeConfig, { portMappings: [1], ips: ["10.1.0.9"] });
    assert.deepEqual(config.prevResult, { cniVersion: "1.0.0" });
    const plain = { ...attachment, mac: "", ips: [], capabilities: {} };
    assert.deepEqual(planCallConfig(network, portmap, plain, undefined).args, undefined);
    assert.deepEqual(planGcConfig(network, portmap, [attachment])["cni.dev/valid-attachments"], [
      { containerID: "c0", ifname: "eth1" },
    ]);
  });

  it("is made of verbs that its version has", () => {
    const of = (cniVersion: "0.3.1" | "0.4.0" | "1.1.0", change = {}) =>
      (["ADD", "CHECK", "DEL", "GC", "STATUS"] as const).filter((verb) =>
        hasVerb({ ...network, cniVersion, ...change }, verb),
      );
    assert.deepEqual(of("0.3.1"), ["ADD", "DEL"]);
    assert.deepEqual(of("0.4.0"), ["ADD", "CHECK", "DEL"]);
    assert.deepEqual(of("1.1.0"), ["ADD", "CHECK", "DEL", "GC", "STATUS"]);
    assert.deepEqual(of("1.1.0", { disableCheck: true, disableGC: true }), ["ADD", "DEL", "STATUS"]);
  });
});
