import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import type { Inode } from "../../base/tree.js";
import { planXattrs } from "./xattr-policy.js";

const VALUE = Buffer.from("value");
const MINIMAL_ACL = Buffer.from("0200000001000600ffffffff04000400ffffffff20000100ffffffff", "hex");

describe("planXattrs", () => {
  it("sorts as the kernel searches: by prefix, length, name", () => {
    const { list } = plan("file", ["security.a", "user.bb", "user.z", "trusted.x", "user.c"]);
    assert.deepEqual(
      list.map(({ prefix, name }) => [prefix, name]),
      [
        [1, "c"],
        [1, "z"],
        [1, "bb"],
        [4, "x"],
        [6, "a"],
      ],
    );
  });

  it("leaves out foreign attributes with a warning, as an unpacker on a real ext4 does", () => {
    const { list, warnings } = plan("file", ["com.apple.quarantine", "system.nfs4_acl", "user.a"]);
    assert.deepEqual(
      list.map(({ name }) => name),
      ["a"],
    );
    assert.equal(warnings.length, 2);
    assert.match(warnings[0] ?? "", /"\/it": a file can't have the attribute "com.apple.quarantine"/);
  });

  it("lets only files and directories have user attributes", () => {
    assert.equal(plan("fifo", ["user.a", "security.a", "trusted.a"]).list.length, 2);
    assert.equal(plan("directory", ["user.a"]).list.length, 1);
  });

  it("lets only directories have a default ACL, and keeps even a minimal one", () => {
    const name = "system.posix_acl_default";
    assert.equal(plan("directory", [name], MINIMAL_ACL).list.length, 1);
    assert.equal(plan("file", [name], MINIMAL_ACL).list.length, 0);
  });

  it("turns a minimal access ACL into permission bits", () => {
    const planned = plan("file", ["system.posix_acl_access"], MINIMAL_ACL);
    assert.equal(planned.permissions, 0o641);
    assert.equal(planned.list.length, 0);
  });

  for (const name of ["user.", `user.${"x".repeat(251)}`, "user.a\0b", "user.\u20ac"]) {
    it(`refuses the name ${JSON.stringify(name.slice(0, 12))}`, () => {
      assert.throws(
        () => plan("file", [name]),
        (error) => hasReason(error, "bad-xattr"),
      );
    });
  }
});

function plan(type: "file" | "directory" | "fifo", names: string[], value: Uint8Array = VALUE) {
  const warnings: string[] = [];
  const attributes = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n, links: 1 };
  const xattrs = new Map(names.map((name) => [name, value]));
  const inode: Inode = {
    ...attributes,
    xattrs,
    ...(type === "file"
      ? { type, data: { size: 0 } }
      : type === "directory"
        ? { type, entries: new Map() }
        : { type }),
  };
  const planned = planXattrs(
    inode,
    () => '"/it"',
    (warning) => warnings.push(warning),
  );
  return { ...planned, warnings };
}
