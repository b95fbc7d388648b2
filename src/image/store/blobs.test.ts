import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { sha256 } from "../../../test/fixtures/registry/tiny-image.js";
import { BlobStore } from "./blobs.js";

describe("BlobStore", () => {
  let directory: string;
  let blobs: BlobStore;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-blobs-"));
    blobs = new BlobStore(directory);
    await blobs.open();
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const sweep = (needed: (digest: string) => boolean) => blobs.whileNobodyPins(() => blobs.sweep(needed));

  it("gives back what was put, by its digest", async () => {
    const digest = await blobs.put(Buffer.from("content"));
    assert.equal(digest, sha256("content"));
    assert.equal((await blobs.read(digest, 100)).toString(), "content");
    assert.equal(await blobs.sizeOf(digest), 7);
  });
  it("does not read more than it is allowed to", async () => {
    const digest = await blobs.put(Buffer.from("content"));
    await assert.rejects(blobs.read(digest, 6), { reason: "image-too-large" });
  });
  it("knows no blob of another name than a digest's", async () => {
    for (const name of ["../../etc/passwd", "sha256:..", "sha512:aa", `sha256:${"A".repeat(64)}`]) {
      assert.throws(() => blobs.path(name), { reason: "blob-not-found" });
    }
    await assert.rejects(blobs.read(sha256("absent"), 10), { reason: "blob-not-found" });
  });
  it("sweeps what nobody needs and says what it was worth", async () => {
    const [kept, gone] = [await blobs.put(Buffer.from("kept")), await blobs.put(Buffer.from("gone"))];
    const swept = await sweep((digest) => digest === kept);
    assert.equal(swept.blobs, 1);
    assert.ok(swept.bytes > 0);
    assert.deepEqual([await blobs.sizeOf(kept), await blobs.sizeOf(gone)], [4, undefined]);
  });
  it("spares what is leased until every lease on it is released", async () => {
    const digest = await blobs.put(Buffer.from("x"));
    const [one, two] = [blobs.lease(), blobs.lease()];
    await one.pin(digest);
    await two.pin(digest);
    one.release();
    one.release();
    await sweep(() => false);
    assert.equal(await blobs.sizeOf(digest), 1);
    two.release();
    await sweep(() => false);
    assert.equal(await blobs.sizeOf(digest), undefined);
  });
  it("grants a lease only when no sweep is under way, so that a leased blob is either there or gone", async () => {
    const digest = await blobs.put(Buffer.from("x"));
    const lease = blobs.lease();
    const sweeping = sweep(() => false);
    await lease.pin(digest);
    const there = await blobs.sizeOf(digest);
    await sweeping;
    assert.equal(await blobs.sizeOf(digest), there);
  });
});
