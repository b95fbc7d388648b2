// What every file sink must do, whatever file system it writes: the tree that comes out is the tree that went in.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { hasReason } from "../../src/base/errors.js";
import type { DirectoryInode, FileSink, Inode, SinkResult } from "../../src/base/tree.js";
import {
  assertSameTree,
  device,
  directory,
  type FoundTree,
  makeTree,
  PLAIN,
  special,
  symlink,
  TreeMaker,
  treePlans,
} from "./file-sink-tree.js";

export interface SinkUnderTest {
  readonly name: string;
  /** Why it can't be tested here, or false. */
  readonly skip: string | false;
  create(path: string, sizeBytes: number): Promise<FileSink>;
  /** Fails unless the image is whole. */
  assertClean(path: string): void;
  read(path: string): FoundTree;
}

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SECOND = 1_000_000_000n;

export function fileSinkContract(tested: SinkUnderTest): void {
  describe(`file sink contract: ${tested.name}`, { skip: tested.skip }, () => {
    const bench = new Bench(tested);
    before(() => bench.open());
    after(() => bench.close());
    treeContract(bench);
    dataContract(bench);
    attributeContract(bench);
    lifecycleContract(bench);
  });
}

type Build = (make: TreeMaker, sink: FileSink) => DirectoryInode | Promise<DirectoryInode>;

/** Builds images and reads them back. */
class Bench {
  readonly tested: SinkUnderTest;
  #directory = "";
  #count = 0;

  constructor(tested: SinkUnderTest) {
    this.tested = tested;
  }

  async open(): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), "kiln-sink-"));
  }

  close(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }

  newPath(): string {
    return join(this.#directory, `${this.#count++}.img`);
  }

  async write(path: string, build: Build, sizeBytes = GIB): Promise<WrittenTree> {
    const sink = await this.tested.create(path, sizeBytes);
    const maker = new TreeMaker(sink);
    try {
      const root = await build(maker, sink);
      return { root, maker, result: await sink.finish(root) };
    } finally {
      await sink.abort();
    }
  }

  /** Writes, checks and compares; then the image is removed. */
  async roundTrip(build: Build, sizeBytes = GIB): Promise<FoundTree> {
    const path = this.newPath();
    try {
      const { root, maker } = await this.write(path, build, sizeBytes);
      this.tested.assertClean(path);
      const found = this.tested.read(path);
      assertSameTree(found, root, maker);
      return found;
    } finally {
      await rm(path, { force: true });
    }
  }

  async digest(build: Build): Promise<string> {
    const path = this.newPath();
    try {
      await this.write(path, build, 64 * MIB);
      const hash = createHash("sha256");
      await pipeline(createReadStream(path, { highWaterMark: MIB }), hash);
      return hash.digest("hex");
    } finally {
      await rm(path, { force: true });
    }
  }
}

interface WrittenTree {
  root: DirectoryInode;
  maker: TreeMaker;
  result: SinkResult;
}

function treeContract(bench: Bench): void {
  it("keeps any tree of any kinds of inodes", async () => {
    await fc.assert(
      fc.asyncProperty(treePlans, async (plan) => {
        await bench.roundTrip((maker, sink) => makeTree(plan, maker, sink), 64 * MIB);
      }),
      { numRuns: 25 },
    );
  });

  it("keeps an empty root and its attributes", async () => {
    await bench.roundTrip(() => directory({}, { mode: 0o1777, uid: 5, gid: 6 }));
  });

  it("keeps hard links of files, symlinks and devices", async () => {
    const found = await bench.roundTrip(async (make) => {
      const file = await make.file([Buffer.from("linked")]);
      const link = symlink("a");
      const node = device("char", 1, 3);
      return directory({ a: file, b: directory({ c: file, d: link, e: node }), f: link, g: node });
    });
    assert.equal(found.get("a")?.links, 2);
  });

  it("keeps names of 255 bytes that are no UTF-8", async () => {
    await bench.roundTrip(() =>
      directory({ ["\xff\x01 ".repeat(85)]: special("fifo"), "\xc3": special("socket") }),
    );
  });

  it("keeps symlinks of every length", async () => {
    const lengths = [1, 58, 59, 60, 61, 255, 4000, 4095];
    await bench.roundTrip(() =>
      directory(lengths.map((length): [string, Inode] => [`to${length}`, symlink("x".repeat(length))])),
    );
  });

  it("keeps device numbers up to 12 and 20 bits", async () => {
    await bench.roundTrip(() =>
      directory({
        null: device("char", 1, 3),
        whiteout: device("char", 0, 0),
        nvme: device("block", 259, 300),
        last: device("block", 4095, 0xfffff),
      }),
    );
  });

  it("keeps directories of every size around that of one and of many blocks", async () => {
    const sizes = [100, 169, 170, 171, 254, 255, 256, 300, 1000];
    await bench.roundTrip(() =>
      directory(
        sizes.map((size): [string, Inode] => [`d${size}`, directory(links(size, `entry of ${size} `))]),
      ),
    );
  });

  it("keeps 70,000 names in one directory", async () => {
    await bench.roundTrip(() => directory({ many: directory(links(70_000, "name-")) }));
  });

  it("keeps a path of 300 nested directories", async () => {
    let deep = directory({ end: special("fifo") });
    for (let i = 0; i < 300; i++) deep = directory({ [`level${i}`]: deep });
    await bench.roundTrip(() => deep);
  });
}

function dataContract(bench: Bench): void {
  it("keeps data written in pieces of every size", async () => {
    await bench.roundTrip(async (make) => {
      const bytes = Buffer.from(Array.from({ length: 3 * MIB }, (_, i) => (i * 31) % 251));
      const piecesOf = (size: number) =>
        Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        );
      return directory({
        bytes: await make.file(piecesOf(511)),
        blocks: await make.file(piecesOf(4096)),
        large: await make.file(piecesOf(100_001)),
        whole: await make.file([bytes]),
        none: await make.file([]),
      });
    });
  });

  it("keeps holes at the start, in the middle and at the end, aligned or not", async () => {
    const text = Buffer.from("text");
    await bench.roundTrip(async (make) =>
      directory({
        start: await make.file([100_000, text]),
        middle: await make.file([text, 5, text, 8192, text, 4084, text]),
        end: await make.file([text, 1_000_003]),
        all: await make.file([70_000]),
      }),
    );
  });

  it("keeps a file of very many fragments", async () => {
    const block = Buffer.alloc(4096, 1);
    await bench.roundTrip(async (make) =>
      directory({
        fragments: await make.file(Array.from({ length: 3000 }, (_, i) => (i % 2 === 0 ? block : 4096))),
      }),
    );
  });

  it("takes no space for holes, even beyond the size of the disk", async () => {
    const path = bench.newPath();
    await bench.write(path, async (_, sink) => {
      const writer = sink.createFile(100 * GIB);
      writer.hole(100 * GIB - 1);
      await writer.write(Buffer.from("!"));
      return directory({ sparse: { type: "file", data: await writer.close(), links: 1, ...PLAIN } });
    });
    bench.tested.assertClean(path);
    assert.ok((await stat(path)).blocks * 512 < MIB);
  });

  it("uses the space of freed files again", async () => {
    await bench.roundTrip(async (make, sink) => {
      for (let i = 0; i < 40; i++) {
        const file = await make.file([Buffer.alloc(2 * MIB, i + 1)]);
        if (file.type === "file") sink.free(file.data);
      }
      return directory({ last: await make.file([Buffer.alloc(2 * MIB, 99)]) });
    }, 16 * MIB);
  });

  it("fills the disk with fragments where there is no large piece left", async () => {
    await bench.roundTrip(async (make, sink) => {
      const kept: [string, Inode][] = [];
      for (let i = 0; i < 40; i++) {
        const file = await make.file([Buffer.alloc(200_000, i + 1)]);
        if (i % 2 === 0) kept.push([`kept${i}`, file]);
        else if (file.type === "file") sink.free(file.data);
      }
      kept.push(["fragmented", await make.file([Buffer.alloc(5_500_000, 200)])]);
      return directory(kept);
    }, 16 * MIB);
  });

  it("says that the disk is too small, and what size would be needed at least", async () => {
    const build: Build = async (make) => directory({ large: await make.file([Buffer.alloc(20 * MIB, 1)]) });
    await assert.rejects(bench.write(bench.newPath(), build, 16 * MIB), (error) => {
      const needed = Number((error as { details?: Record<string, string> }).details?.neededBytes);
      return hasReason(error, "disk-too-small") && needed > 20 * MIB && needed < 40 * MIB;
    });
  });

  it("keeps a file of more than 8 GiB that is mostly holes", async () => {
    const path = bench.newPath();
    const { result } = await bench.write(
      path,
      async (_, sink) => {
        const writer = sink.createFile(9 * GIB);
        for (let i = 0; i < 9; i++) {
          await writer.write(Buffer.alloc(MIB, i + 1));
          writer.hole(GIB - MIB);
        }
        return directory({ large: { type: "file", data: await writer.close(), links: 1, ...PLAIN } });
      },
      64 * GIB,
    );
    bench.tested.assertClean(path);
    assert.equal(result.dataBytes, 9 * MIB);
    await rm(path);
  });
}

function attributeContract(bench: Bench): void {
  it("keeps owners beyond 65535 and all twelve mode bits", async () => {
    await bench.roundTrip(async (make) =>
      directory({
        setuid: await make.file([], { mode: 0o6755, uid: 65_536, gid: 100_000 }),
        nobody: await make.file([], { mode: 0o7777, uid: 2 ** 32 - 2, gid: 2 ** 32 - 2 }),
        none: await make.file([], { mode: 0 }),
      }),
    );
  });

  it("keeps nanoseconds, times before 1970 and after 2038", async () => {
    const times = [-1n, 1n, -(2n ** 31n) * SECOND, 2n ** 31n * SECOND + 999_999_999n, 2n ** 33n * SECOND];
    await bench.roundTrip(() =>
      directory(times.map((mtimeNs, i): [string, Inode] => [`t${i}`, special("fifo", { mtimeNs })])),
    );
  });

  it("keeps capabilities", async () => {
    const value = Buffer.from("0100000200200000000000000000000000000000", "hex");
    await bench.roundTrip(async (make) =>
      directory({ ping: await make.file([], { xattrs: new Map([["security.capability", value]]) }) }),
    );
  });

  it("keeps as many attributes as 4 KiB hold", async () => {
    const xattrs = new Map([
      ["user.large", Buffer.alloc(3000, 65)],
      ["user.empty", Buffer.alloc(0)],
      ["user.odd", Buffer.alloc(33, 1)],
      ["trusted.a", Buffer.from("b")],
      ["security.selinux", Buffer.from("system_u:object_r:bin_t:s0\0")],
    ]);
    await bench.roundTrip(async (make) =>
      directory({ file: await make.file([], { xattrs }), directory: directory({}, { xattrs }) }),
    );
  });

  it("keeps attributes that more files share than one block can count", async () => {
    const xattrs = new Map([["user.shared", Buffer.alloc(200, 65)]]);
    await bench.roundTrip(async (make) => {
      const files: [string, Inode][] = [];
      for (let i = 0; i < 1100; i++) files.push([`f${i}`, await make.file([], { xattrs })]);
      return directory(files);
    });
  });

  it("refuses more attributes than a file can have", async () => {
    const xattrs = new Map([["user.huge", Buffer.alloc(5000)]]);
    await assert.rejects(
      bench.write(bench.newPath(), async (make) => directory({ big: await make.file([], { xattrs }) })),
      (error) => hasReason(error, "xattrs-too-large") && /"\/big"/.test((error as Error).message),
    );
  });

  it("keeps ACLs, access and default", async () => {
    const acl = (hex: string) => Buffer.from(`02000000${hex}`, "hex");
    // u::rwx u:1234:rw- g::r-x m::rwx o::---, with id 0 where there is none, as debugfs gives it back.
    const access = acl(
      "010007000000000002000600d20400000400050000000000100007000000000020000000" + "00000000",
    );
    const plain = acl("010007000000000004000500000000002000000000000000");
    await bench.roundTrip(async (make) =>
      directory({
        file: await make.file([], { mode: 0o770, xattrs: new Map([["system.posix_acl_access", access]]) }),
        directory: directory({}, { mode: 0o755, xattrs: new Map([["system.posix_acl_default", plain]]) }),
      }),
    );
  });

  it("leaves foreign attributes out, and says so", async () => {
    const xattrs = new Map([["com.apple.quarantine", Buffer.from("x")]]);
    const { result } = await bench.write(bench.newPath(), async (make) =>
      directory({ it: await make.file([], { xattrs }) }),
    );
    assert.match(result.warnings?.join() ?? "", /"\/it": .*com\.apple\.quarantine/);
  });
}

function lifecycleContract(bench: Bench): void {
  const tree =
    (reversed: boolean): Build =>
    async (make) => {
      const files: [string, Inode][] = [];
      for (let i = 0; i < 500; i++) files.push([`file ${i}`, await make.file([Buffer.alloc(i, i)])]);
      return directory(reversed ? files.toReversed() : files);
    };

  it("gives the same bytes for the same tree", async () => {
    assert.equal(await bench.digest(tree(false)), await bench.digest(tree(false)));
  });

  it("gives the same bytes whatever order the entries were added in", async () => {
    assert.equal(await bench.digest(tree(false)), await bench.digest(tree(true)));
  });

  it("leaves out data that the tree does not mention", async () => {
    await bench.roundTrip(async (make) => {
      await make.file([Buffer.alloc(100_000, 1)]);
      return directory({ kept: await make.file([Buffer.from("kept")]) });
    });
  });

  it("refuses data that was freed, or that two files claim", async () => {
    const freed: Build = async (make, sink) => {
      const file = await make.file([Buffer.from("x")]);
      if (file.type === "file") sink.free(file.data);
      return directory({ file });
    };
    const shared: Build = async (make) => {
      const file = await make.file([Buffer.from("x")]);
      return directory({ file, copy: { ...file } });
    };
    for (const build of [freed, shared]) {
      await assert.rejects(bench.write(bench.newPath(), build), (error) => hasReason(error, "unknown-data"));
    }
  });

  it("refuses a second file while one is open", async () => {
    const sink = await bench.tested.create(bench.newPath(), 16 * MIB);
    sink.createFile(1);
    assert.throws(
      () => sink.createFile(1),
      (error) => hasReason(error, "sink-misused"),
    );
    await sink.abort();
  });

  it("can be aborted at any time, and more than once", async () => {
    const sink = await bench.tested.create(bench.newPath(), 16 * MIB);
    sink.createFile(10).hole(5);
    await sink.abort();
    await sink.abort();
    assert.throws(
      () => sink.createFile(1),
      (error) => hasReason(error, "sink-misused"),
    );
  });

  it("refuses to write over an existing file", async () => {
    const path = bench.newPath();
    await bench.write(path, () => directory());
    await assert.rejects(bench.tested.create(path, 16 * MIB), (error) => hasReason(error, "file-exists"));
  });
}

/** So many names of one fifo-like inode each, cheap to make and to read back. */
function links(count: number, prefix: string): [string, Inode][] {
  return Array.from({ length: count }, (_, i) => [`${prefix}${i}`, special(i % 2 === 0 ? "fifo" : "socket")]);
}
