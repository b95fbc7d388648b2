import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TapBackend } from "../types.js";
import { planNamespace } from "./namespace.js";

const TAP: TapBackend = {
  ...{ kind: "tap", on: "user", name: "tap0", peer: "slirp0", mtu: 1500 },
  ...{ make: ["ip tuntap add dev slirp0 mode tap"], within: [] },
};
const NAMED: TapBackend = {
  ...{ kind: "tap", on: "network", name: "tap1", peer: "port1", mtu: 9000 },
  ...{ make: ["ip link add port1 type dummy"], within: ["enter", "7", "--"] },
};

describe("planNamespace", () => {
  const wrap = (uid: number, owner?: number, drops = false, taps = [TAP]) =>
    planNamespace(["firecracker"], taps, { uid, owner, drops }).join(" ");

  it("puts a VM with a network card into a namespace of its own", () => {
    assert.match(wrap(1000), /^unshare --user --map-root-user --net -- sh -c/);
    assert.match(wrap(0, 5000), /^unshare --net --mount .*chown 5000 \/dev\/net\/tun/s);
    assert.match(wrap(0, 5000), /ip tuntap add dev tap0 mode tap user 5000/);
  });

  it("leaves a jail the capabilities that it is made with, and a bare Firecracker none", () => {
    assert.doesNotMatch(wrap(1000), /bounding-set/);
    assert.match(wrap(1000, undefined, true), /setpriv --bounding-set=-all/);
  });

  it("is what a VMM with a tap is started by, whose words stay its own", () => {
    const argv = planNamespace(["vmm", "-a b", ""], [TAP], { uid: 0, owner: undefined, drops: false });
    assert.equal(argv[0], "unshare");
    assert.deepEqual(argv.slice(-3), ["vmm", "-a b", ""]);
  });

  it("has each tap on a bridge with its own peer, which is made before", () => {
    const script = planNamespace([], [TAP, NAMED], { uid: 0, owner: undefined, drops: false })[5] ?? "";
    const at = (line: string) => script.split("\n").indexOf(line);
    for (const { peer, name, mtu, make } of [TAP, NAMED]) {
      const joined = at(`ip link set ${peer} mtu ${mtu} master br-${name} up`);
      assert.ok(at(make[0] ?? "") > 0 && joined > at(make[0] ?? ""), script);
      assert.ok(at(`ip link set ${name} mtu ${mtu} master br-${name} up`) > 0, script);
    }
  });

  it("belongs to the user namespace that the networks of an ordinary user do, where it is on one", () => {
    assert.match(wrap(1000, undefined, false, [TAP, NAMED]), /^enter 7 -- unshare --net -- sh -c/);
    assert.match(wrap(0, undefined, false, [TAP, NAMED]), /^unshare --net -- sh -c/);
  });
});
