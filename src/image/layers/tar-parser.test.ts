import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  archiveBytes,
  END_OF_ARCHIVE,
  extension,
  header,
  member,
  padded,
  paxBody,
  paxHeader,
  type TarSpec,
} from "../../../test/fixtures/images/tar-writer.js";
import { type LayerLimits, layerLimits } from "./limits.js";
import type { TarEntry } from "./tar-entry.js";
import { TarParser } from "./tar-parser.js";

interface Read {
  readonly entry: TarEntry;
  readonly data: string;
  readonly holes: number;
}

/** Parses bytes in chunks of `chunkSize`; the data is the logical content, holes as zeros. */
function read(bytes: Buffer, limits?: Partial<LayerLimits>, chunkSize = bytes.length): Read[] {
  const parser = new TarParser(layerLimits(limits));
  const members: { entry: TarEntry; data: string; holes: number }[] = [];
  for (let start = 0; start < bytes.length; start += chunkSize) {
    parser.push(bytes.subarray(start, start + chunkSize));
    for (let event = parser.next(); event !== undefined; event = parser.next()) {
      const current = members.at(-1);
      if (event.type === "entry") members.push({ entry: event.entry, data: "", holes: 0 });
      else if (event.type === "data" && current) current.data += Buffer.from(event.bytes).toString("latin1");
      else if (event.type === "hole" && current) {
        current.data += "\0".repeat(event.length);
        current.holes += event.length;
      }
    }
  }
  parser.finish();
  return members;
}

function only(...members: (TarSpec | Uint8Array)[]): Read {
  const all = read(archiveBytes(members));
  const [first] = all;
  assert.equal(all.length, 1);
  assert.ok(first !== undefined);
  return first;
}

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
    const { entry, data } = only(spec);
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
    assert.equal(only(block).entry.path, "some/prefix/name");
  });

  it("takes no prefix from GNU and v7 headers, where other things stand", () => {
    const times = [{ offset: 345, bytes: Buffer.from("14003215677") }];
    assert.equal(only(header({ magic: "gnu", patches: times })).entry.path, "name");
    assert.equal(only(header({ magic: "none", patches: times })).entry.path, "name");
  });

  it("takes a shorter prefix from star's headers", () => {
    const patches = [
      { offset: 345 + 131, bytes: Buffer.from("00000000000\x0000000000000\0") },
      { offset: 508, bytes: Buffer.from("tar\0") },
    ];
    assert.equal(only(header({ prefix: Buffer.from("p"), patches })).entry.path, "p/name");
  });

  it("tells every type", () => {
    const types = { "0": "file", "\0": "file", "7": "file", "1": "hardlink", "2": "symlink", "3": "char" };
    const more = { "4": "block", "5": "directory", "6": "fifo" };
    for (const [flag, type] of Object.entries({ ...types, ...more })) {
      assert.equal(only(header({ flag, linkTarget: Buffer.from("t") })).entry.type, type);
    }
  });

  it("takes an old header's trailing slash for a directory", () => {
    assert.equal(only({ path: "d", type: "directory", dialect: "v7" }).entry.type, "directory");
  });

  it("keeps names as bytes", () => {
    const path = Buffer.from([0x61, 0xff, 0xe9, 0x80]);
    assert.equal(only({ path }).entry.path, path.toString("latin1"));
    assert.equal(only({ path, pax: { path } }).entry.path, path.toString("latin1"));
    const long = Buffer.concat([Buffer.alloc(300, "x"), path]);
    assert.equal(only({ path: long, dialect: "gnu" }).entry.path, long.toString("latin1"));
  });

  it("ignores device numbers of what is no device", () => {
    const rubbish = [{ offset: 329, bytes: Buffer.from("rubbish!") }];
    assert.equal(only(header({ patches: rubbish })).entry.major, 0);
  });

  it("ignores the size of links, directories and devices", () => {
    for (const flag of ["1", "2", "3", "4", "5", "6"]) {
      const first = header({ flag, size: 100, linkTarget: Buffer.from("t") });
      assert.deepEqual(
        read(Buffer.concat([first, archiveBytes([one])])).map(({ entry }) => [entry.path, entry.size]),
        [
          ["name", 0],
          ["a", 0],
        ],
      );
    }
  });

  it("takes signed checksums", () => {
    const path = Buffer.from([0xe9, 0xff]);
    assert.equal(only(header({ path, checksum: "signed" })).entry.path, path.toString("latin1"));
  });

  it("skips volume labels", () => {
    assert.equal(only(header({ flag: "V", path: Buffer.from("label"), magic: "gnu" }), one).entry.path, "a");
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
    const whole = read(bytes);
    assert.equal(whole.length, 6);
    for (const size of [1, 7, 511, 512, 513, 1024, 4096]) assert.deepEqual(read(bytes, {}, size), whole);
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
    assert.equal(read(Buffer.concat([archiveBytes([one]), rest])).length, 1);
  });

  it("takes an archive without its end mark, or with half of it", () => {
    assert.equal(read(member(one)).length, 1);
    assert.equal(read(Buffer.concat([member(one), Buffer.alloc(512)])).length, 1);
    assert.deepEqual(read(Buffer.alloc(0)), []);
  });
});

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
    const [first, second] = read(archiveBytes([{ path: "short", data: "d", pax: records }, one]));
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
    assert.equal(read(Buffer.concat(bytes))[0]?.data, "hello");
  });

  it("are as if absent where a value is empty, except for attributes", () => {
    const { entry } = only({ path: "p", pax: { path: "", mtime: "", "SCHILY.xattr.user.empty": "" } });
    assert.equal(entry.path, "p");
    assert.deepEqual(entry.xattrs, new Map([["user.empty", new Uint8Array()]]));
  });

  it("may be global, and then hold until they are overridden", () => {
    const globals = paxHeader("g", { mtime: "1", uid: "5", "SCHILY.xattr.user.g": "g", comment: "by git" });
    const read3 = read(
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
      assert.throws(() => read(archiveBytes([paxHeader("g", record), one])), { reason: "bad-tar" });
    }
  });

  it("may be GNU long names, which end at a NUL", () => {
    const name = extension("L", Buffer.from("the long name\0rubbish"));
    const target = extension("K", Buffer.from("the long target\0"));
    const { entry } = only(name, target, { path: "short", type: "symlink", linkTarget: "t", dialect: "gnu" });
    assert.deepEqual([entry.path, entry.linkTarget], ["the long name", "the long target"]);
  });

  it("may be padded with NULs", () => {
    const body = Buffer.concat([paxBody([["path", "named"]]), Buffer.alloc(20)]);
    assert.equal(only(extension("x", body), one).entry.path, "named");
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
        () => read(archiveBytes([extension("x", Buffer.from(body)), one])),
        { reason: "bad-tar" },
        JSON.stringify(body),
      );
    }
  });

  it("are refused with NUL in a name", () => {
    for (const key of ["path", "linkpath", "GNU.sparse.name"]) {
      assert.throws(() => read(archiveBytes([{ path: "a", pax: { [key]: "a\0b" } }])), { reason: "bad-tar" });
    }
  });
});

describe("the tar parser's sparse files", () => {
  const parts = [
    { offset: 1000, data: "first" },
    { offset: 5000, data: "x".repeat(700) },
  ];
  const logical = `${"\0".repeat(1000)}first${"\0".repeat(3995)}${"x".repeat(700)}${"\0".repeat(4300)}`;

  for (const form of ["old-gnu", "0.0", "0.1", "1.0"] as const) {
    it(`have their holes: ${form}`, () => {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const all = read(archiveBytes([{ path: "s", dialect, sparse: { form, size: 10_000, parts } }, one]));
      assert.equal(all[0]?.entry.path, "s");
      assert.equal(all[0]?.entry.size, 10_000);
      assert.equal(all[0]?.data, logical);
      assert.equal(all[0]?.holes, 10_000 - 705);
      assert.equal(all[1]?.entry.path, "a");
    });

    it(`may have hundreds of parts: ${form}`, () => {
      const many = Array.from({ length: 200 }, (_, i) => ({ offset: i * 1000, data: `part ${i}` }));
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const { data } = only({ path: "s", dialect, sparse: { form, size: 200_000, parts: many } });
      assert.equal(data.length, 200_000);
      for (const [i, part] of many.entries())
        assert.equal(data.slice(part.offset, part.offset + 6 + String(i).length - 1), `part ${i}`);
    });

    it(`are refused when the map lies: ${form}`, () => {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const lies = [
        { size: 100, parts: [{ offset: 99, data: "ab" }] },
        {
          size: 100,
          parts: [
            { offset: 50, data: "ab" },
            { offset: 51, data: "c" },
          ],
        },
        {
          size: 100,
          parts: [
            { offset: 50, data: "ab" },
            { offset: 10, data: "c" },
          ],
        },
      ];
      for (const lie of lies) {
        assert.throws(() => read(archiveBytes([{ path: "s", dialect, sparse: { form, ...lie } }])), {
          reason: "bad-tar",
        });
      }
    });
  }

  it("are refused when more or less data is stored than the map says", () => {
    for (const map of ["0,3", "0,9", "0"]) {
      const pax = { "GNU.sparse.map": map, "GNU.sparse.size": "100" };
      assert.throws(() => read(archiveBytes([{ path: "s", data: "abcd", pax }])), { reason: "bad-tar" });
    }
  });

  it("are refused in versions that nobody knows", () => {
    const pax = { "GNU.sparse.major": "2", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" };
    assert.throws(() => read(archiveBytes([{ path: "s", data: "abcd", pax }])), { reason: "bad-tar" });
  });

  it("may be larger than 8 GiB", () => {
    const size = 2 ** 43 + 5;
    for (const form of ["1.0", "old-gnu"] as const) {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const bytes = archiveBytes([
        { path: "s", dialect, sparse: { form, size, parts: [{ offset: 2 ** 42, data: "x" }] } },
      ]);
      const parser = new TarParser();
      parser.push(bytes);
      const events = [parser.next(), parser.next(), parser.next(), parser.next()];
      assert.deepEqual(
        events.map((event) => (event?.type === "hole" ? event.length : event?.type)),
        ["entry", 2 ** 42, "data", size - 2 ** 42 - 1],
      );
    }
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

describe("the tar parser refuses", () => {
  it("a header with a wrong checksum, saying where", () => {
    const bytes = Buffer.concat([member(one), header({ checksum: "wrong" })]);
    assert.throws(() => read(bytes), { reason: "tar-corrupt", message: /byte 512/ });
  });

  it("an archive that ends in the middle of anything", () => {
    const bytes = archiveBytes([{ path: "x".repeat(200), data: "d".repeat(600) }]).subarray(0, -1024);
    for (let end = 1; end < bytes.length; end += 97) {
      assert.throws(() => read(bytes.subarray(0, end)), { reason: "tar-truncated" }, `after ${end} bytes`);
    }
  });

  it("data after a single zero block", () => {
    const bytes = Buffer.concat([Buffer.alloc(512), member(one)]);
    assert.throws(() => read(bytes), { reason: "tar-corrupt" });
  });

  it("an extended header that stands before no member", () => {
    assert.throws(() => read(archiveBytes([paxHeader("x", { path: "p" })])), { reason: "tar-corrupt" });
  });

  it("unknown types, naming the member", () => {
    for (const flag of ["D", "M", "N", "X", "Z", "8", "\xff"]) {
      const expected = { reason: "tar-unknown-type", message: /"name"/ };
      assert.throws(() => read(header({ flag })), expected, JSON.stringify(flag));
    }
  });

  it("owners and devices that Linux can't hold", () => {
    assert.throws(() => read(header({ uid: -1 })), { reason: "bad-tar" });
    assert.throws(() => read(header({ gid: 2 ** 32 - 1 })), { reason: "bad-tar" });
    assert.throws(() => read(header({ flag: "3", major: 4096 })), { reason: "bad-tar" });
    assert.throws(() => read(header({ flag: "4", minor: 2 ** 20 })), { reason: "bad-tar" });
  });

  it("negative sizes", () => {
    assert.throws(() => read(header({ size: -512 })), { reason: "bad-tar" });
  });

  it("to let an archive write to the terminal", () => {
    const path = Buffer.from("\u001b[31mred\u0007\u009b");
    assert.throws(
      () => read(header({ path, flag: "Z" })),
      (error: Error) => [...error.message].every((char) => char >= " " && (char < "\x7f" || char > "\x9f")),
    );
  });
});

describe("the tar parser's limits", () => {
  const tooMuch = (bytes: Buffer, limits: Partial<LayerLimits>, reason: string) =>
    assert.throws(() => read(bytes, limits), { code: 8, reason });

  it("bound extended headers before they are kept", () => {
    const huge = extension("x", Buffer.alloc(5000)).subarray(0, 512);
    tooMuch(huge, { maxExtensionBytes: 4999 }, "tar-header-too-large");
    tooMuch(
      extension("L", Buffer.alloc(5000)).subarray(0, 512),
      { maxExtensionBytes: 4999 },
      "tar-header-too-large",
    );
  });

  it("bound attributes one by one and together", () => {
    const xattrs = { "user.a": "x".repeat(100), "user.b": "x".repeat(100) };
    tooMuch(archiveBytes([{ path: "a", xattrs }]), { maxXattrBytes: 99 }, "xattr-too-large");
    tooMuch(archiveBytes([{ path: "a", xattrs }]), { maxNameBytes: 5 }, "xattr-too-large");
    tooMuch(archiveBytes([{ path: "a", xattrs }]), { maxXattrTotalBytes: 211 }, "xattr-too-large");
    assert.equal(read(archiveBytes([{ path: "a", xattrs }]), { maxXattrTotalBytes: 212 }).length, 1);
  });

  it("bound the attributes of global headers together", () => {
    const globals = ["a", "b", "c"].map((name) =>
      paxHeader("g", { [`SCHILY.xattr.user.${name}`]: "x".repeat(50) }),
    );
    tooMuch(archiveBytes(globals), { maxXattrTotalBytes: 120 }, "xattr-too-large");
  });

  it("bound sparse maps", () => {
    const parts = Array.from({ length: 30 }, (_, i) => ({ offset: i * 10, data: "x" }));
    for (const form of ["0.0", "0.1", "1.0", "old-gnu"] as const) {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const bytes = archiveBytes([{ path: "s", dialect, sparse: { form, size: 1000, parts } }]);
      tooMuch(bytes, { maxSparseExtents: 20 }, "sparse-map-too-large");
    }
  });

  it("bound a file's logical size", () => {
    const sparse = { form: "1.0", size: 2 ** 50, parts: [] } as const;
    tooMuch(archiveBytes([{ path: "s", sparse }]), {}, "file-too-large");
  });
});
