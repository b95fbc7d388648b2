// The tar reader against the tars of this world: a directory of the host, archived by GNU tar in each of its formats
// and by Python's tarfile, reads back as that directory.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { mergeLayers } from "../../src/image/layers/index.js";
import { MemorySink } from "../fixtures/images/memory-sink.js";
import { assertSameTree, listTree, type TreeListing } from "../fixtures/images/tree-listing.js";
import { listHostTree } from "./host-tree.js";

const run = promisify(execFile);
const skip =
  process.getuid?.() === 0 ? false : "devices, owners and trusted attributes can be made as root only";

/** Makes the tree that all formats can hold, then, by argument, what only some can. */
const MAKER = `
import os, sys
root, extras = os.fsencode(sys.argv[1]), sys.argv[2].split(",")
path = lambda *names: os.path.join(root, *names)
def write(name, data, mode=0o644):
    with open(path(name), "wb") as f:
        f.write(data)
    os.chmod(path(name), mode)
os.mkdir(path(b"dir")); os.chmod(path(b"dir"), 0o2751)
write(b"empty", b""); write(b"exact", b"x" * 1024); write(b"odd", b"y" * 100001, 0o4711)
write(b"dir/latin1-\\xe9\\xff", b"bytes")
os.symlink(b"dir/latin1-\\xe9\\xff", path(b"symlink"))
os.link(path(b"odd"), path(b"dir/hard"))
if "devices" in extras:
    os.mkfifo(path(b"fifo")); os.mknod(path(b"char"), 0o020600, os.makedev(1, 3)); os.mknod(path(b"block"), 0o060660, os.makedev(8, 17))
if "ustar-names" in extras:
    os.makedirs(path(b"d" * 90)); write(b"d" * 90 + b"/" + b"f" * 99, b"prefix")
if "long-names" in extras:
    os.makedirs(path(*[b"l" * 200] * 3)); write(b"/".join([b"l" * 200] * 3) + b"/" + b"n" * 255, b"long")
    os.symlink(b"t" * 500, path(b"long-target"))
if "owners" in extras:
    write(b"owned", b"o"); os.chown(path(b"owned"), 3000000, 4294967294)
if "sparse" in extras:
    with open(path(b"sparse"), "wb") as f:
        for i in range(40):
            f.seek(i * 100000); f.write(b"piece %d" % i)
        f.truncate(5000000)
    with open(path(b"hole"), "wb") as f:
        f.truncate(3000000)
if "xattrs" in extras:
    os.setxattr(path(b"odd"), "user.binary", b"\\0\\xff=\\n"); os.setxattr(path(b"dir"), "trusted.x", b"t")
nanos = 123456789 if "nanoseconds" in extras else 0
for top, dirs, files in os.walk(root, topdown=False):
    for name in files + dirs:
        p = os.path.join(top, name)
        os.utime(p, ns=(0, 1400000000 * 10**9 + nanos), follow_symlinks=False)
if "old-times" in extras:
    os.utime(path(b"empty"), ns=(0, -5 * 10**9 + nanos))
os.utime(root, ns=(0, 1300000000 * 10**9))
`;

/** Archives with Python: GNU and PAX formats, with its own choice of headers. */
const PYTHON_TAR = `
import sys, tarfile
fmt = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}[sys.argv[3]]
with tarfile.open(sys.argv[1], "w", format=fmt, encoding="utf-8", errors="surrogateescape") as t:
    t.add(sys.argv[2], arcname=".")
`;

interface Format {
  readonly name: string;
  readonly extras: string;
  /** Arguments before "-cf FILE -C DIR ."; or the format for Python. */
  readonly gnu?: readonly string[];
  readonly python?: string;
}

const PAX_EXTRAS = "devices,ustar-names,long-names,owners,sparse,xattrs,nanoseconds,old-times";
const FORMATS: readonly Format[] = [
  { name: "GNU tar, v7", gnu: ["--format=v7"], extras: "" },
  { name: "GNU tar, ustar", gnu: ["--format=ustar"], extras: "devices,ustar-names" },
  {
    name: "GNU tar, oldgnu, sparse",
    gnu: ["--format=oldgnu", "-S"],
    extras: "devices,long-names,owners,sparse,old-times",
  },
  {
    name: "GNU tar, gnu, sparse",
    gnu: ["--format=gnu", "-S"],
    extras: "devices,long-names,owners,sparse,old-times",
  },
  ...["0.0", "0.1", "1.0"].map((version) => ({
    name: `GNU tar, posix, sparse ${version}`,
    gnu: ["--format=posix", "-S", `--sparse-version=${version}`, "--xattrs", "--xattrs-include=*"],
    extras: PAX_EXTRAS,
  })),
  { name: "GNU tar, posix, blocking factor 1", gnu: ["--format=posix", "-b", "1"], extras: "long-names" },
  { name: "Python, GNU format", python: "gnu", extras: "devices,long-names,owners,old-times" },
  { name: "Python, PAX format", python: "pax", extras: "devices,long-names,owners" },
  { name: "Python, ustar format", python: "ustar", extras: "devices,ustar-names" },
];

async function treeOfTar(path: string): Promise<TreeListing> {
  const bytes = await readFile(path);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const layer = { path, digest, diffId: digest, sizeBytes: bytes.length, compression: "none" as const };
  const sink = new MemorySink();
  const { root } = await mergeLayers({ layers: [layer], sink });
  await sink.finish(root);
  return listTree(root);
}

describe("a directory in a tar", { skip }, () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-tar-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  for (const { name, extras, gnu, python } of FORMATS) {
    it(`reads back as it was: ${name}`, async () => {
      const tree = join(directory, name.replace(/\W+/g, "-"));
      const tar = `${tree}.tar`;
      await mkdir(tree, { mode: 0o755 });
      await run("python3", ["-c", MAKER, tree, extras]);
      if (gnu !== undefined) await run("tar", [...gnu, "-cf", tar, "-C", tree, "."]);
      else await run("python3", ["-c", PYTHON_TAR, tar, tree, python ?? ""]);
      const expected = await listHostTree(tree);
      assert.ok(expected.size >= 8);
      assertSameTree(await treeOfTar(tar), expected);
    });
  }

  it("has holes where GNU tar found them", async () => {
    const sink = new MemorySink();
    const tree = join(directory, "holes");
    await mkdir(tree);
    await run("python3", ["-c", MAKER, tree, "sparse"]);
    await run("tar", ["--format=posix", "-S", "-cf", `${tree}.tar`, "-C", tree, "."]);
    const bytes = await readFile(`${tree}.tar`);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const layer = { path: `${tree}.tar`, digest, diffId: digest, sizeBytes: bytes.length };
    await mergeLayers({ layers: [{ ...layer, compression: "none" }], sink });
    const holes = [...sink.live].map((ref) => (ref as { holes?: number }).holes ?? 0);
    assert.ok(Math.max(...holes) >= 4_000_000, `largest holes: ${Math.max(...holes)} bytes`);
  });
});
