import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planNamespace, tapBackend } from "./namespace.js";

describe("planNamespace", () => {
  const wrap = (uid: number, owner?: number, drops = false) =>
    planNamespace(["firecracker"], { uid, owner, drops }).join(" ");

  it("puts a VM with a network card into a namespace of its own", () => {
    assert.match(wrap(1000), /^unshare --user --map-root-user --net -- sh -c/);
    assert.match(wrap(0, 5000), /^unshare --net --mount .*chown 5000 \/dev\/net\/tun/);
    assert.match(wrap(0, 5000), /ip tuntap add dev tap0 mode tap user 5000/);
  });

  it("leaves a jail the capabilities that it is made with, and a bare Firecracker none", () => {
    assert.doesNotMatch(wrap(1000), /bounding-set/);
    assert.match(wrap(1000, undefined, true), /setpriv --bounding-set=-all/);
  });

  it("is what a VMM with a tap is started by, whose words stay its own", () => {
    const { name, around } = tapBackend();
    const argv = around(["vmm", "-a b", ""], { owner: undefined, drops: false });
    assert.equal(argv[0], "unshare");
    assert.deepEqual(argv.slice(-3), ["vmm", "-a b", ""]);
    assert.ok(argv.some((word) => word.includes(`ip tuntap add dev ${name} mode tap`)));
  });
});
