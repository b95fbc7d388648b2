// Random layers over a handful of names, where everything gets in the way of everything: whatever umoci manages to
// unpack, the merge makes the same tree of. Directories' times are left out (see layers.test.ts).

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { mergeLayers } from "../../src/image/layers/index.js";
import { writeImage } from "../fixtures/images/image-layout.js";
import { MemorySink } from "../fixtures/images/memory-sink.js";
import { archive, type TarSpec } from "../fixtures/images/tar-writer.js";
import { assertSameTree, listTree, type TreeListing } from "../fixtures/images/tree-listing.js";
import { reasonToSkipUmoci, umociTree } from "./layers-umoci.js";

const skip = await reasonToSkipUmoci();
const RUNS = 60;

const name = fc.constantFrom("a", "b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const target = fc.oneof(
  path,
  path.map((p) => `/${p}`),
  path.map((p) => `../${p}`),
  path.map((p) => `../../${p}`),
  fc.constantFrom(".", "..", "/"),
);
const mode = fc.constantFrom(0o755, 0o700, 0o4711, 0o1777);
const file = fc.record({ path, data: fc.string({ maxLength: 8 }), mode, uid: fc.nat(99_999) });
const folder = fc.record({ path, type: fc.constant("directory" as const), mode });
const symlink = fc.record({ path, type: fc.constant("symlink" as const), linkTarget: target });
const hardLink = fc.record({ path, type: fc.constant("hardlink" as const), linkTarget: path });
const whiteout = path.map((p) => ({ path: p.replace(/[^/]+$/, ".wh.$&") }));
const opaque = path.map((p) => ({ path: `${p}/.wh..wh..opq` }));
// Directories most of all: umoci refuses an image with a file where a parent must be, and a refusal shows nothing.
const entry: fc.Arbitrary<TarSpec> = fc.oneof(
  { weight: 6, arbitrary: folder },
  { weight: 2, arbitrary: file },
  { weight: 2, arbitrary: symlink },
  { weight: 1, arbitrary: hardLink },
  { weight: 3, arbitrary: whiteout },
  { weight: 1, arbitrary: opaque },
);
const image = fc.array(fc.array(entry, { maxLength: 8 }), { minLength: 1, maxLength: 4 });

function withoutDirectoryTimes(listing: TreeListing): TreeListing {
  return new Map(
    [...listing].map(([p, node]) => [p, node.type === "directory" ? { ...node, mtimeNs: "" } : node]),
  );
}

describe("random layers", { skip }, () => {
  let directory = "";
  let count = 0;
  let compared = 0;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-random-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  async function compare(layers: readonly (readonly TarSpec[])[]): Promise<void> {
    const place = join(directory, String(count++));
    const written = await writeImage(`${place}/layout`, {
      layers: layers.map((members) => ({ tar: archive(members), compression: "none" })),
    });
    // umoci refuses many of them, with nothing to compare then.
    const expected = await umociTree(`${place}/layout`, written.tag, `${place}/bundle`).catch(
      () => undefined,
    );
    if (expected === undefined) return;
    compared++;
    const sink = new MemorySink();
    const { root } = await mergeLayers({ layers: written.layers, sink });
    await sink.finish(root);
    assertSameTree(withoutDirectoryTimes(listTree(root)), withoutDirectoryTimes(expected));
    await rm(place, { recursive: true });
  }

  it("make the tree that umoci unpacks", async () => {
    await fc.assert(fc.asyncProperty(image, compare), { numRuns: RUNS });
    assert.ok(compared > RUNS / 10, `umoci took only ${compared} of ${count} images`);
  });
});
