import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readOnly, readTar } from "../../../test/fixtures/images/tar-reading.js";
import {
  archiveBytes,
  header,
  member,
  padded,
  paxHeader,
  type TarSpec,
} from "../../../test/fixtures/images/tar-writer.js";
import { TarParser } from "./tar-parser.js";

const one: TarSpec = { path: "a" };

describe("the tar parser", () => {
  it("reads all fields of a ustar member", () => {
    const spec = {
      path: "dir/file",
      data: "hello",
      mode: 0o4755,
      uid: 1000,
      gid: 1001,
      mtimeNs: 5_000_000_000n,
    };
    const { entry, data } = readOnly(spec);
    assert.deepEqual(entry, {
      type: "file",
      path: "dir/file",
      linkTarget: "",
      mode: 0o4755,
      uid: 1000,
      gid: 1001,
      mtimeNs: 5_000_000_000n,
      size: 5,
      major: 0,
      minor: 0,
      offset: 0,
    });
    assert.equal(data, "hello");
  });

  it("joins the ustar prefix and the name", () => {
    const block = header({ prefix: Buffer.from("some/prefix"), path: Buffer.from("name") });
    assert.equal(readOnly(block).entry.path, "some/prefix/name");
  });

  it("takes no prefix from GNU and v7 headers, where other things stand", () => {
    const times = [{ offset: 345, bytes: Buffer.from("14003215677") }];
    assert.equal(readOnly(header({ magic: "gnu", patches: times })).entry.path, "name");
    assert.equal(readOnly(header({ magic: "none", patches: times })).entry.path, "name");
  });

  it("takes a shorter prefix from star's headers", () => {
    const patches = [
      { offset: 345 + 131, bytes: Buffer.from("00000000000\x0000000000000\0") },
      { offset: 508, bytes: Buffer.from("tar\0") },
    ];
    assert.equal(readOnly(header({ prefix: Buffer.from("p"), patches })).entry.path, "p/name");
  });

  it("tells every type", () => {
    const types = { "0": "file", "\0": "file", "7": "file", "1": "hardlink", "2": "symlink", "3": "char" };
    const more = { "4": "block", "5": "directory", "6": "fifo" };
    for (const [flag, type] of Object.entries({ ...types, ...more })) {
      assert.equal(readOnly(header({ flag, linkTarget: Buffer.from("t") })).entry.type, type);
    }
  });

  it("takes an old header's trailing slash for a directory", () => {
    assert.equal(readOnly({ path: "d", type: "directory", dialect: "v7" }).entry.type, "directory");
  });

  it("keeps names as bytes", () => {
    const path = Buffer.from([0x61, 0xff, 0xe9, 0x80]);
    assert.equal(readOnly({ path }).entry.path, path.toString("latin1"));
    assert.equal(readOnly({ path, pax: { path } }).entry.path, path.toString("latin1"));
    const long = Buffer.concat([Buffer.alloc(300, "x"), path]);
    assert.equal(readOnly({ path: long, dialect: "gnu" }).entry.path, long.toString("latin1"));
  });

  it("ignores device numbers of what is no device", () => {
    const rubbish = [{ offset: 329, bytes: Buffer.from("rubbish!") }];
    assert.equal(readOnly(header({ patches: rubbish })).entry.major, 0);
  });

  it("ignores the size of links, directories and devices", () => {
    for (const flag of ["1", "2", "3", "4", "5", "6"]) {
      const first = header({ flag, size: 100, linkTarget: Buffer.from("t") });
      assert.deepEqual(
        readTar(Buffer.concat([first, archiveBytes([one])])).map(({ entry }) => [entry.path, entry.size]),
        [
          ["name", 0],
          ["a", 0],
        ],
      );
    }
  });

  it("takes signed checksums", () => {
    const path = Buffer.from([0xe9, 0xff]);
    assert.equal(readOnly(header({ path, checksum: "signed" })).entry.path, path.toString("latin1"));
  });

  it("skips volume labels", () => {
    assert.equal(
      readOnly(header({ flag: "V", path: Buffer.from("label"), magic: "gnu" }), one).entry.path,
      "a",
    );
  });

  it("says the same however the bytes are cut", () => {
    const parts = [0, 1, 2, 3, 4, 5].map((i) => ({ offset: i * 3000 + 7, data: `part ${i}` }));
    const bytes = archiveBytes([
      { path: "x".repeat(300), data: "long", xattrs: { "user.a": "b" } },
      { path: "y".repeat(200), linkTarget: "z".repeat(200), type: "symlink", dialect: "gnu" },
      { path: "s", sparse: { form: "1.0", size: 20_000, parts } },
      { path: "o", sparse: { form: "old-gnu", size: 20_000, parts }, dialect: "gnu" },
      { path: "empty" },
      { path: "big", data: "d".repeat(3000) },
    ]);
    const whole = readTar(bytes);
    assert.equal(whole.length, 6);
    for (const size of [1, 7, 511, 512, 513, 1024, 4096]) assert.deepEqual(readTar(bytes, {}, size), whole);
  });

  it("says where an entry lies also when the chunks before are gone", () => {
    const bytes = archiveBytes([one, { path: "b" }, { path: "c" }]);
    const parser = new TarParser();
    const offsets: number[] = [];
    for (let at = 0; at < bytes.length; at += 512) {
      const chunk = Buffer.alloc(512);
      bytes.copy(chunk, 0, at);
      parser.push(chunk);
      for (let event = parser.next(); event !== undefined; event = parser.next()) {
        if (event.type === "entry") offsets.push(event.entry.offset);
      }
      structuredClone(chunk.buffer, { transfer: [chunk.buffer] });
    }
    assert.deepEqual(offsets, [0, 512, 1024]);
  });

  it("gives file data as views on what it was given", () => {
    const bytes = archiveBytes([{ path: "a", data: "x".repeat(2000) }]);
    const parser = new TarParser();
    parser.push(bytes);
    parser.next();
    const event = parser.next();
    assert.equal(event?.type, "data");
    assert.equal(event.type === "data" && event.bytes.buffer, bytes.buffer);
  });

  it("ignores whatever follows the end mark", () => {
    const rest = Buffer.alloc(1000, "rubbish");
    assert.equal(readTar(Buffer.concat([archiveBytes([one]), rest])).length, 1);
  });

  it("takes an archive without its end mark, or with half of it", () => {
    assert.equal(readTar(member(one)).length, 1);
    assert.equal(readTar(Buffer.concat([member(one), Buffer.alloc(512)])).length, 1);
    assert.deepEqual(readTar(Buffer.alloc(0)), []);
  });
});

describe("the tar parser refuses", () => {
  it("a header with a wrong checksum, saying where", () => {
    const bytes = Buffer.concat([member(one), header({ checksum: "wrong" })]);
    assert.throws(() => readTar(bytes), { reason: "tar-corrupt", message: /byte 512/ });
  });

  it("an archive that ends in the middle of anything", () => {
    const bytes = archiveBytes([{ path: "x".repeat(200), data: "d".repeat(600) }]).subarray(0, -1024);
    for (let end = 1; end < bytes.length; end += 97) {
      assert.throws(() => readTar(bytes.subarray(0, end)), { reason: "tar-truncated" }, `after ${end} bytes`);
    }
  });

  it("data after a single zero block", () => {
    const bytes = Buffer.concat([Buffer.alloc(512), member(one)]);
    assert.throws(() => readTar(bytes), { reason: "tar-corrupt" });
  });

  it("an extended header that stands before no member", () => {
    assert.throws(() => readTar(archiveBytes([paxHeader("x", { path: "p" })])), { reason: "tar-corrupt" });
  });

  it("unknown types, naming the member", () => {
    for (const flag of ["D", "M", "N", "X", "Z", "8", "\xff"]) {
      const expected = { reason: "tar-unknown-type", message: /"name"/ };
      assert.throws(() => readTar(header({ flag })), expected, JSON.stringify(flag));
    }
  });

  it("owners and devices that Linux can't hold", () => {
    assert.throws(() => readTar(header({ uid: -1 })), { reason: "bad-tar" });
    assert.throws(() => readTar(header({ gid: 2 ** 32 - 1 })), { reason: "bad-tar" });
    assert.throws(() => readTar(header({ flag: "3", major: 4096 })), { reason: "bad-tar" });
    assert.throws(() => readTar(header({ flag: "4", minor: 2 ** 20 })), { reason: "bad-tar" });
  });

  it("negative sizes", () => {
    assert.throws(() => readTar(header({ size: -512 })), { reason: "bad-tar" });
  });

  it("to let an archive write to the terminal", () => {
    const path = Buffer.from("\u001b[31mred\u0007\u009b");
    assert.throws(
      () => readTar(header({ path, flag: "Z" })),
      (error: Error) => [...error.message].every((char) => char >= " " && (char < "\x7f" || char > "\x9f")),
    );
  });
});

describe("the tar parser's files of more than 8 GiB", () => {
  const SIZE = 9 * 2 ** 30 + 3;
  const chunk = Buffer.alloc(8 * 2 ** 20);

  for (const how of ["base-256", "PAX"]) {
    it(`are read to their end: size in ${how}`, () => {
      const parser = new TarParser();
      const first =
        how === "PAX"
          ? [paxHeader("x", { size: String(SIZE) }), header({ size: 0 })]
          : [header({ size: SIZE })];
      let bytes = 0;
      const names: string[] = [];
      const take = (piece: Buffer) => {
        parser.push(piece);
        for (let event = parser.next(); event !== undefined; event = parser.next()) {
          if (event.type === "data") bytes += event.bytes.length;
          if (event.type === "entry") names.push(event.entry.path);
        }
      };
      take(Buffer.concat(first));
      let left = SIZE;
      for (; left > chunk.length; left -= chunk.length) take(chunk);
      take(Buffer.concat([padded(chunk.subarray(0, left)), archiveBytes([one])]));
      parser.finish();
      assert.equal(bytes, SIZE);
      assert.deepEqual(names, ["name", "a"]);
    });
  }
});
