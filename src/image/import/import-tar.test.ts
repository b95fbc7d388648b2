import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { missingPrograms } from "../../../test/fixtures/registry/programs.js";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import { sha256, tarOf } from "../../../test/fixtures/registry/tiny-image.js";
import type { ImportOptions } from "../types.js";

let lab: StoreLab;
let tar: Buffer;
beforeEach(async () => {
  lab = await openStoreLab();
  tar = tarOf({ "etc/os-release": "ID=x", data: randomBytes(100_000) });
});
afterEach(() => lab[Symbol.asyncDispose]());

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
}
const importTar = (bytes: Buffer, options: Partial<ImportOptions> = {}) =>
  lab.store.importTar(inPieces(bytes), { name: "mine", ...options });
const nothingLeft = async () => assert.deepEqual(await lab.files(), []);

describe("importTar", () => {
  it("makes an image of a plain tar, with what the changes say", async () => {
    const changes = ['CMD ["/bin/app"]', "ENV A=b", "EXPOSE 80"];
    const image = await importTar(tar, { changes, platform: { os: "linux", architecture: "aarch64" } });
    assert.deepEqual(image.names, ["docker.io/library/mine:latest"]);
    assert.deepEqual(
      [image.run.cmd, image.run.env, image.run.exposedPorts],
      [["/bin/app"], ["A=b"], ["80/tcp"]],
    );
    assert.deepEqual(image.platform, { os: "linux", architecture: "arm64" });
    const digest = sha256(tar);
    assert.deepEqual(image.layers, [{ digest, diffId: digest, sizeBytes: tar.length, compression: "none" }]);
    assert.deepEqual(await readFile(lab.store.blobPath(digest)), tar);
  });
  it("keeps a gzip tar as it came and finds the digest of what is in it", async () => {
    const zipped = gzipSync(tar);
    const [layer] = (await importTar(zipped)).layers;
    assert.deepEqual(layer, {
      digest: sha256(zipped),
      diffId: sha256(tar),
      sizeBytes: zipped.length,
      compression: "gzip",
    });
  });
  const skip = missingPrograms(["zstd"]).length === 0 ? false : "zstd is not installed";
  it("keeps a zstd tar as it came and finds the digest of what is in it", { skip }, async () => {
    const packed = execFileSync("zstd", ["-q", "-c"], { input: tar });
    const [layer] = (await importTar(packed)).layers;
    assert.deepEqual(
      [layer?.digest, layer?.diffId, layer?.compression],
      [sha256(packed), sha256(tar), "zstd"],
    );
  });
  it("counts what follows the end mark into the digest", async () => {
    const padded = Buffer.concat([tar, Buffer.alloc(20_480)]);
    const [layer] = (await importTar(gzipSync(padded))).layers;
    assert.equal(layer?.diffId, sha256(padded));
  });
  it("makes the same image of the same tar where its date is fixed", async () => {
    const createdAt = new Date("2026-11-16T10:17:40Z");
    const image = await importTar(tar, { createdAt, createdBy: "a test" });
    assert.equal(image.createdAt, "2026-11-16T10:17:40.000Z");
    assert.equal((await importTar(tar, { name: "other", createdAt, createdBy: "a test" })).id, image.id);
    assert.notEqual((await importTar(tar, { createdAt })).id, image.id);
  });
  it("makes an image that is found again after a restart", async () => {
    const image = await importTar(tar);
    assert.deepEqual((await lab.restart()).find("mine"), image);
  });
  it("refuses what is no tar, and leaves nothing", async () => {
    await assert.rejects(importTar(randomBytes(5000)), { name: "KilnError", message: /import mine/ });
    await nothingLeft();
  });
  it("refuses a truncated tar, plain or compressed", async () => {
    await assert.rejects(importTar(tar.subarray(0, 50_000)), { name: "KilnError" });
    await assert.rejects(importTar(gzipSync(tar).subarray(0, 50_000)), { name: "KilnError" });
    await nothingLeft();
  });
  it("refuses nothing at all", async () => {
    await assert.rejects(importTar(Buffer.alloc(1024)), {
      reason: "invalid-archive",
      message: /nothing in the tar/,
    });
    await nothingLeft();
  });
  it("refuses more than it may store", async () => {
    await lab.restart({ layerBytes: 50_000 });
    await assert.rejects(importTar(tar), { reason: "image-too-large" });
    await nothingLeft();
  });
  it("refuses bad changes and names before it reads a byte", async () => {
    const unread: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => assert.fail("the tar was read"),
    };
    await assert.rejects(lab.store.importTar(unread, { name: "mine", changes: ["RUN x"] }), {
      reason: "invalid-change",
    });
    await assert.rejects(lab.store.importTar(unread, { name: "Bad Name" }), { reason: "invalid-reference" });
  });
  it("stops when it is cancelled, and leaves nothing", async () => {
    const controller = new AbortController();
    const stopping = async function* () {
      yield tar.subarray(0, 10_000);
      controller.abort();
      yield tar.subarray(10_000);
    };
    const importing = lab.store.importTar(stopping(), { name: "mine", signal: controller.signal });
    await assert.rejects(importing, { reason: "cancelled" });
    await nothingLeft();
  });
  it("leaves nothing where the sender breaks off", async () => {
    const breaking = async function* () {
      yield tar.subarray(0, 10_000);
      throw new Error("client went away");
    };
    await assert.rejects(lab.store.importTar(breaking(), { name: "mine" }), {
      message: /import mine: client went away/,
    });
    await nothingLeft();
  });
});
