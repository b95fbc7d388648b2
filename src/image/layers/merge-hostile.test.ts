// Layers that lie, are damaged, or want too much.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { type LayerSpec, type WrittenLayer, writeLayer } from "../../../test/fixtures/images/image-layout.js";
import { MemorySink } from "../../../test/fixtures/images/memory-sink.js";
import { archive, archiveBytes, header, type TarSpec } from "../../../test/fixtures/images/tar-writer.js";
import { KilnError } from "../../base/errors.js";
import type { ProgressUpdate } from "../../base/progress.js";
import type { LayerLimits } from "./limits.js";
import { mergeLayers } from "./merge.js";

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-hostile-"));
});
after(() => rm(directory, { recursive: true, force: true }));

const ZERO_DIGEST = `sha256:${"0".repeat(64)}`;
const members: TarSpec[] = [
  { path: "a", data: "x".repeat(5000) },
  { path: "b", data: "y" },
];
const layer = (spec: Partial<LayerSpec> = {}) => writeLayer(directory, { tar: archive(members), ...spec });
const merge = (blob: WrittenLayer, limits?: Partial<LayerLimits>) =>
  mergeLayers({ layers: [blob], sink: new MemorySink(), ...(limits === undefined ? {} : { limits }) });

/** The layer with its file's bytes changed and all else as it was announced. */
async function tampered(blob: WrittenLayer, change: (bytes: Buffer) => Buffer): Promise<WrittenLayer> {
  const path = `${blob.path}-tampered`;
  await writeFile(path, change(await readFile(blob.path)));
  return { ...blob, path };
}

/** A blob of these very bytes, honestly announced. */
async function blobOf(
  bytes: Buffer,
  compression: WrittenLayer["compression"] = "none",
): Promise<WrittenLayer> {
  const written = await writeLayer(directory, { tar: [bytes], compression: "none" });
  return { ...written, compression };
}

describe("a layer's digests", () => {
  it("are checked: the blob's", async () => {
    const blob = await layer();
    await assert.rejects(merge({ ...blob, digest: ZERO_DIGEST }), (error: KilnError) => {
      assert.deepEqual([error.code, error.reason], [15, "digest-mismatch"]);
      assert.deepEqual(error.details, { expected: ZERO_DIGEST, got: blob.digest });
      return error.message.includes(ZERO_DIGEST) && error.message.includes(blob.digest);
    });
  });

  it("are checked: the uncompressed data's", async () => {
    const blob = await layer();
    const expected = { reason: "digest-mismatch", details: { expected: ZERO_DIGEST, got: blob.diffId } };
    await assert.rejects(merge({ ...blob, diffId: ZERO_DIGEST }), expected);
  });

  it("are checked where blob and data are the same bytes", async () => {
    const blob = await layer({ compression: "none" });
    await assert.rejects(merge({ ...blob, diffId: ZERO_DIGEST }), { reason: "digest-mismatch" });
  });

  it("explain damage before anything else does", async () => {
    for (const compression of ["none", "gzip", "zstd"] as const) {
      const blob = await layer({ compression });
      const bad = await tampered(blob, (bytes) => bytes.fill(0xaa, 20, 60));
      await assert.rejects(merge(bad), { code: 15, reason: "digest-mismatch" }, compression);
    }
  });
});

describe("a truncated layer", () => {
  it("is told by the blob's size", async () => {
    for (const compression of ["none", "gzip", "zstd"] as const) {
      const bad = await tampered(await layer({ compression }), (bytes) =>
        bytes.subarray(0, bytes.length - 9),
      );
      await assert.rejects(
        merge(bad),
        { code: 15, reason: "layer-truncated", message: /sha256:/ },
        compression,
      );
    }
  });

  it("is told where the digest is of the truncated bytes", async () => {
    const gzip = gzipSync(archiveBytes(members));
    await assert.rejects(merge(await blobOf(gzip.subarray(0, -12), "gzip")), {
      code: 15,
      reason: "layer-truncated",
    });
    const tar = archiveBytes(members);
    await assert.rejects(merge(await blobOf(tar.subarray(0, 2000))), { code: 15, reason: "layer-truncated" });
  });

  it("may not be longer than announced either", async () => {
    const bad = await tampered(await layer(), (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]));
    await assert.rejects(merge(bad), { reason: "digest-mismatch" });
  });
});

describe("a layer that is damaged though its digest is right", () => {
  it("is told apart", async () => {
    const gzip = gzipSync(archiveBytes(members));
    gzip.fill(0xff, 12, 30);
    await assert.rejects(merge(await blobOf(gzip, "gzip")), { code: 15, reason: "layer-corrupt" });
    const wrong = await blobOf(header({ checksum: "wrong" }));
    await assert.rejects(merge(wrong), { code: 15, reason: "layer-corrupt", message: /byte 0/ });
  });

  it("names itself and the entry", async () => {
    const blob = await layer({ tar: archive([{ path: "x/../../y" }]) });
    await assert.rejects(
      merge(blob),
      (error: KilnError) => error.message.includes(blob.digest) && error.message.includes("y"),
    );
  });
});

describe("a layer's compression", () => {
  it("is what its bytes are, not what its media type says", async () => {
    const gzip = await layer({ compression: "gzip" });
    const { stats } = await merge({ ...gzip, compression: "zstd" });
    assert.equal(stats.entries, 2);
    const plain = await layer({ compression: "none" });
    assert.equal((await merge({ ...plain, compression: "gzip" })).stats.entries, 2);
  });

  it("may be one that is not supported, and is named then", async () => {
    const xz = await blobOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]));
    await assert.rejects(merge(xz), { reason: "unsupported-compression", message: /xz/ });
  });
});

describe("limits", () => {
  const rejects = (
    blob: WrittenLayer,
    limits: Partial<LayerLimits>,
    reason: string,
    limit: keyof LayerLimits,
  ) => assert.rejects(merge(blob, limits), { code: 8, reason, details: { limit } });
  const tar = (specs: readonly TarSpec[]) => layer({ tar: archive(specs), compression: "none" });

  it("stop a bomb by its ratio, long before its end", async () => {
    const zeros = Buffer.alloc(1 << 20);
    const bomb = function* () {
      yield header({ size: 1 << 30 });
      for (let i = 0; i < 64; i++) yield zeros;
    };
    for (const compression of ["gzip", "zstd"] as const) {
      const blob = await layer({ tar: bomb(), compression });
      await rejects(blob, { ratioFreeBytes: 1 << 20, maxRatio: 10 }, "layer-too-large", "maxRatio");
    }
  });

  it("let a small layer have any ratio", async () => {
    const { stats } = await merge(await layer(), { maxRatio: 1 });
    assert.equal(stats.entries, 2);
  });

  it("bound a layer's size", async () => {
    await rejects(await layer(), { maxLayerBytes: 4000 }, "layer-too-large", "maxLayerBytes");
  });

  it("bound the image's size over all layers", async () => {
    const layers = [await layer(), await layer()];
    const sink = new MemorySink();
    await mergeLayers({ layers: layers.slice(1), sink, limits: { maxImageBytes: 10_000 } });
    const both = mergeLayers({ layers, sink, limits: { maxImageBytes: 10_000 } });
    await assert.rejects(both, { code: 8, reason: "image-too-large" });
  });

  it("bound the number of entries, whiteouts counted", async () => {
    const blob = await tar([{ path: "a" }, { path: ".wh.b" }, { path: "a" }]);
    await rejects(blob, { maxEntries: 2 }, "too-many-entries", "maxEntries");
  });

  it("bound the directories that entries only imply", async () => {
    await rejects(await tar([{ path: "a/b/c/d/e" }]), { maxEntries: 3 }, "too-many-entries", "maxEntries");
  });

  it("bound depth, also where symlinks add to it", async () => {
    await rejects(await tar([{ path: "a/b/c/d" }]), { maxDepth: 2 }, "path-too-deep", "maxDepth");
    const deep = [
      { path: "a/b/c", type: "directory" },
      { path: "l", type: "symlink", linkTarget: "a/b/c" },
      { path: "l/d/e" },
    ] as const;
    await rejects(await tar(deep), { maxDepth: 3 }, "path-too-deep", "maxDepth");
    assert.equal((await merge(await tar(deep), { maxDepth: 4 })).stats.entries, 3);
  });

  it("bound names, paths and link targets", async () => {
    await rejects(await tar([{ path: "n".repeat(256) }]), {}, "path-too-long", "maxNameBytes");
    await rejects(await tar([{ path: "d/".repeat(2050) }]), {}, "path-too-long", "maxPathBytes");
    const implied = [{ path: "l", type: "symlink", linkTarget: "n".repeat(256) }, { path: "l/x" }] as const;
    await rejects(await tar(implied), {}, "path-too-long", "maxNameBytes");
    const link = { path: "l", type: "symlink", linkTarget: "t".repeat(4096) } as const;
    await rejects(await tar([link]), {}, "path-too-long", "maxPathBytes");
    const hard = { path: "l", type: "hardlink", linkTarget: "t/".repeat(2050) } as const;
    await rejects(await tar([hard]), {}, "path-too-long", "maxPathBytes");
  });

  it("bound what names and attributes take in memory", async () => {
    const blob = await tar([{ path: "a", xattrs: { "user.a": "x".repeat(500) } }, { path: "b".repeat(100) }]);
    await rejects(blob, { maxMetadataBytes: 550 }, "metadata-too-large", "maxMetadataBytes");
  });
});

describe("a merge", () => {
  it("tells its progress by the blob's bytes, up to the end", async () => {
    const blob = await layer();
    const updates: ProgressUpdate[] = [];
    await mergeLayers({
      layers: [blob],
      sink: new MemorySink(),
      onProgress: (update) => updates.push(update),
    });
    const total = blob.sizeBytes;
    assert.deepEqual(updates.at(-1), { id: blob.digest, status: "done", current: total, total });
    assert.ok(updates.some(({ status, current }) => status === "extracting" && current === total));
  });

  it("stops when it is told to", async () => {
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    const merging = mergeLayers({
      layers: [await layer()],
      sink: new MemorySink(),
      signal: controller.signal,
      onProgress,
    });
    await assert.rejects(merging, { code: 1, reason: "cancelled" });
  });

  it("passes the sink's errors on", async () => {
    const full = new KilnError(8, "the disk has 1 byte", { reason: "disk-too-small" });
    const sink = new MemorySink();
    sink.createFile = () => {
      throw full;
    };
    await assert.rejects(mergeLayers({ layers: [await layer()], sink }), {
      code: 8,
      reason: "disk-too-small",
    });
  });

  it("waits for a sink that is asynchronous", async () => {
    const inner = new MemorySink();
    const sink = new MemorySink();
    sink.createFile = (size) => {
      const writer = inner.createFile(size);
      return {
        write: async (chunk) => {
          const kept = Buffer.from(chunk);
          await new Promise((resolve) => setImmediate(resolve));
          assert.deepEqual(Buffer.from(chunk), kept, "the chunk stays as it is until the promise resolves");
          writer.write(kept);
        },
        hole: (length) => writer.hole(length),
        close: async () => writer.close(),
      };
    };
    const { root } = await mergeLayers({ layers: [await layer({ compression: "none" })], sink });
    await inner.finish(root);
  });

  it("says so when a blob isn't there", async () => {
    await assert.rejects(merge({ ...(await layer()), path: join(directory, "no-such-blob") }), {
      code: 5,
      reason: "no-such-file",
    });
  });
});
