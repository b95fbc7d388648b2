import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AclEntry, aclValue } from "../../../test/fixtures/images/attributes.js";
import { file, folder, mergeSpecs, symlink } from "../../../test/fixtures/images/merge-specs.js";

describe("attributes of entries", () => {
  const full: AclEntry[] = [
    { tag: "userObj", permissions: 6 },
    { tag: "user", permissions: 7, id: 1 },
    { tag: "groupObj", permissions: 4 },
    { tag: "mask", permissions: 5 },
    { tag: "other", permissions: 1 },
  ];
  const acl = aclValue(full);
  const ACCESS = "system.posix_acl_access";

  it("give symlinks the mode that Linux shows", async () => {
    assert.equal((await mergeSpecs([{ ...symlink("l", "x"), mode: 0o600 }])).at("l").mode, "777");
  });

  it("keep what Linux can hold and leave the rest out", async () => {
    const xattrs = {
      "user.u": "1",
      "trusted.t": "1",
      "security.capability": "1",
      "security.selinux": "1",
      "system.nfs4_acl": "1",
      "system.other": "1",
      "nonsense.x": "1",
      nonsense: "1",
      "user.": "1",
    };
    const { at } = await mergeSpecs([
      { ...file("f"), xattrs },
      { ...symlink("l", "x"), xattrs },
      { path: "p", type: "fifo", xattrs },
    ]);
    assert.deepEqual(Object.keys(at("f").xattrs), ["security.capability", "trusted.t", "user.u"]);
    assert.deepEqual(Object.keys(at("l").xattrs), ["security.capability", "trusted.t"]);
    assert.deepEqual(Object.keys(at("p").xattrs), ["security.capability", "trusted.t"]);
  });

  it("let an access list set the mode", async () => {
    const { at } = await mergeSpecs([{ ...file("f"), mode: 0o4777, xattrs: { [ACCESS]: acl } }]);
    assert.deepEqual([at("f").mode, at("f").xattrs], ["4651", { [ACCESS]: acl.toString("hex") }]);
  });

  it("drop a list that says no more than the mode, and an empty one", async () => {
    const plain = aclValue(full.filter(({ tag }) => tag !== "user" && tag !== "mask"));
    const { at } = await mergeSpecs([
      { ...file("plain"), mode: 0o777, xattrs: { [ACCESS]: plain } },
      { ...file("empty"), mode: 0o600, xattrs: { [ACCESS]: aclValue([]) } },
    ]);
    assert.deepEqual([at("plain").mode, at("plain").xattrs], ["641", {}]);
    assert.deepEqual([at("empty").mode, at("empty").xattrs], ["600", {}]);
  });

  it("keep default lists on directories only", async () => {
    const xattrs = { "system.posix_acl_default": acl };
    const { at } = await mergeSpecs([folder("d", { xattrs }), { ...file("f"), xattrs }]);
    assert.deepEqual(
      [Object.keys(at("d").xattrs), Object.keys(at("f").xattrs)],
      [["system.posix_acl_default"], []],
    );
    assert.equal(at("d").mode, "755");
  });

  it("are refused with a list that Linux would refuse", async () => {
    const bad = [
      Buffer.from([2, 0, 0]),
      Buffer.from([3, 0, 0, 0]),
      acl.subarray(0, -1),
      aclValue(full.slice(0, 2)),
      aclValue([...full].reverse()),
      aclValue(full.filter(({ tag }) => tag !== "mask")),
      aclValue(full.map((entry) => ({ ...entry, permissions: 9 }))),
    ];
    for (const value of bad) {
      await assert.rejects(
        mergeSpecs([{ ...file("f"), xattrs: { [ACCESS]: value } }]),
        { reason: "bad-acl" },
        value.toString("hex"),
      );
    }
  });
});
