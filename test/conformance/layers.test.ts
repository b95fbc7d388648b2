// The merge against a peer: the tree that mergeLayers makes of an image equals the one that `umoci unpack` makes of it
// as root, path by path: type, mode, owner, size, digest, time, link target, device, attributes, and which names share
// an inode.
//
// What umoci 0.4 does otherwise, and what is therefore not compared with it but with GNU tar, Python's tarfile or the
// specification, here or in the unit tests:
// - Directories that no layer has an entry for, those they are made in, and those that lose entries to a whiteout
//   further up get the time of unpacking: their mtime is left out (NASTY_UNPACK_TIMES).
// - Such directories inherit a default access control list there, by the kernel; here they have none.
// - Old GNU sparse files (type S), contiguous files (7) and global PAX headers (g) end in an error there.
// - Extended attributes without a value are not restored there (Go's reader takes them for absent).
// - Names that lead out of the root are moved inside by it; we refuse them.
// - A file of a lower layer where a parent directory must be ends in an error there (umoci 0.6 and overlayfs replace it,
//   as we do).
// - zstd is unknown to it: zstd layers are compared with the same layers in gzip.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { mergeLayers } from "../../src/image/layers/index.js";
import { type WrittenImage, writeImage } from "../fixtures/images/image-layout.js";
import { MemorySink } from "../fixtures/images/memory-sink.js";
import { NASTY_UNPACK_TIMES, nastyLayers } from "../fixtures/images/nasty-image.js";
import { assertSameTree, listTree, type TreeListing } from "../fixtures/images/tree-listing.js";
import { reasonToSkipUmoci, umociTree } from "./layers-umoci.js";

const skip = await reasonToSkipUmoci();

async function mergedTree(image: WrittenImage): Promise<TreeListing> {
  const sink = new MemorySink();
  const { root } = await mergeLayers({ layers: image.layers, sink });
  await sink.finish(root);
  return listTree(root);
}

function withoutTimes(listing: TreeListing, paths: readonly string[]): TreeListing {
  return new Map(
    [...listing].map(([path, node]) => [path, paths.includes(path) ? { ...node, mtimeNs: "" } : node]),
  );
}

describe("merged layers", { skip }, () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-layers-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it("equal what umoci unpacks of the nasty image with 100,000 files", async () => {
    const image = await writeImage(join(directory, "layout"), { layers: nastyLayers(), tag: "nasty" });
    const unpacked = await umociTree(join(directory, "layout"), image.tag, join(directory, "bundle"));
    const expected = withoutTimes(unpacked, NASTY_UNPACK_TIMES);
    const actual = withoutTimes(await mergedTree(image), NASTY_UNPACK_TIMES);
    assert.ok(expected.size > 100_000);
    assertSameTree(actual, expected);
  });

  it("are the same whichever way the layers are compressed", async () => {
    const trees: TreeListing[] = [];
    for (const compression of ["none", "gzip", "zstd"] as const) {
      const layers = nastyLayers({ files: 200, compression });
      trees.push(await mergedTree(await writeImage(join(directory, "layout"), { layers, tag: compression })));
    }
    const [plain, gzip, zstd] = trees;
    assert.deepEqual(gzip, plain);
    assert.deepEqual(zstd, plain);
  });
});
