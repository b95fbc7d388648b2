import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readOnly, readTar } from "../../../test/fixtures/images/tar-reading.js";
import {
  archiveBytes,
  END_OF_ARCHIVE,
  extension,
  header,
  padded,
  paxBody,
  paxHeader,
  type TarSpec,
} from "../../../test/fixtures/images/tar-writer.js";

const one: TarSpec = { path: "a" };

describe("the tar parser's extended headers", () => {
  it("override the header for one member", () => {
    const records = {
      path: "long",
      uid: "4000000000",
      gid: "3000000",
      mtime: "-1.25",
      "SCHILY.xattr.user.x": Buffer.from([0, 1, 255]),
      comment: "ignored",
      uname: "ignored",
    };
    const [first, second] = readTar(archiveBytes([{ path: "short", data: "d", pax: records }, one]));
    assert.equal(first?.entry.path, "long");
    assert.equal(first?.entry.uid, 4_000_000_000);
    assert.equal(first?.entry.gid, 3_000_000);
    assert.equal(first?.entry.mtimeNs, -1_250_000_000n);
    assert.deepEqual(first?.entry.xattrs, new Map([["user.x", Uint8Array.of(0, 1, 255)]]));
    assert.deepEqual([second?.entry.path, second?.entry.uid], ["a", 0]);
    assert.equal(second?.entry.xattrs, undefined);
  });

  it("set the size where the header can't", () => {
    const bytes = [
      paxHeader("x", { size: "5" }),
      header({ size: 0 }),
      padded(Buffer.from("hello")),
      END_OF_ARCHIVE,
    ];
    assert.equal(readTar(Buffer.concat(bytes))[0]?.data, "hello");
  });

  it("are as if absent where a value is empty, except for attributes", () => {
    const { entry } = readOnly({ path: "p", pax: { path: "", mtime: "", "SCHILY.xattr.user.empty": "" } });
    assert.equal(entry.path, "p");
    assert.deepEqual(entry.xattrs, new Map([["user.empty", new Uint8Array()]]));
  });

  it("may be global, and then hold until they are overridden", () => {
    const globals = paxHeader("g", { mtime: "1", uid: "5", "SCHILY.xattr.user.g": "g", comment: "by git" });
    const read3 = readTar(
      archiveBytes([
        globals,
        one,
        { path: "b", pax: { uid: "6" } },
        paxHeader("g", { mtime: "2" }),
        { path: "c" },
      ]),
    );
    assert.deepEqual(
      read3.map(({ entry }) => [entry.path, entry.mtimeNs, entry.uid, entry.xattrs?.size]),
      [
        ["a", 1_000_000_000n, 5, 1],
        ["b", 1_000_000_000n, 6, 1],
        ["c", 2_000_000_000n, 5, 1],
      ],
    );
  });

  it("may not name every member globally", () => {
    for (const record of [{ path: "x" }, { linkpath: "x" }, { size: "1" }, { "GNU.sparse.size": "1" }]) {
      assert.throws(() => readTar(archiveBytes([paxHeader("g", record), one])), { reason: "bad-tar" });
    }
  });

  it("may be GNU long names, which end at a NUL", () => {
    const name = extension("L", Buffer.from("the long name\0rubbish"));
    const target = extension("K", Buffer.from("the long target\0"));
    const { entry } = readOnly(name, target, {
      path: "short",
      type: "symlink",
      linkTarget: "t",
      dialect: "gnu",
    });
    assert.deepEqual([entry.path, entry.linkTarget], ["the long name", "the long target"]);
  });

  it("may be padded with NULs", () => {
    const body = Buffer.concat([paxBody([["path", "named"]]), Buffer.alloc(20)]);
    assert.equal(readOnly(extension("x", body), one).entry.path, "named");
  });

  it("are refused when a record is malformed", () => {
    const bad = [
      "12 path=x\n",
      "9 path=x",
      "0 a=b\n",
      "x path=y\n",
      "7 patxx\n",
      "5 =x\n",
      "999999999999 a=b\n",
      "3 \n",
    ];
    for (const body of bad) {
      assert.throws(
        () => readTar(archiveBytes([extension("x", Buffer.from(body)), one])),
        { reason: "bad-tar" },
        JSON.stringify(body),
      );
    }
  });

  it("are refused with NUL in a name", () => {
    for (const key of ["path", "linkpath", "GNU.sparse.name"]) {
      assert.throws(() => readTar(archiveBytes([{ path: "a", pax: { [key]: "a\0b" } }])), {
        reason: "bad-tar",
      });
    }
  });
});
