import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import {
  type Blob,
  blob,
  indexOf,
  manifestOf,
  OCI_INDEX,
  OCI_LAYER,
  type TinyImage,
  tarOf,
  tinyImage,
} from "../../../test/fixtures/registry/tiny-image.js";

const REF = "org.opencontainers.image.ref.name";

let lab: StoreLab;
let directory: string;
beforeEach(async () => {
  lab = await openStoreLab();
  directory = join(lab.directory, "My Layout");
  await mkdir(join(directory, "blobs/sha256"), { recursive: true });
  await writeFile(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
});
afterEach(() => lab[Symbol.asyncDispose]());

const blobPath = (digest: string) => join(directory, "blobs/sha256", digest.slice(7));
async function writeBlobs(...blobs: Blob[]): Promise<void> {
  for (const { digest, bytes } of blobs) await writeFile(blobPath(digest), bytes);
}
async function writeLayout(
  entries: { image: TinyImage; platform?: string; annotations?: object }[],
): Promise<void> {
  for (const { image } of entries) await writeBlobs(image.manifest, image.config, ...image.layers);
  await writeFile(join(directory, "index.json"), indexOf(entries).bytes);
}
const rejects = async (source: string, reason: string, message: RegExp) => {
  await assert.rejects(lab.pull(source), { name: "KilnError", reason, message });
  assert.deepEqual(await lab.files(), []);
};

describe("oci:DIR", () => {
  it("takes the only image, under a name made of the directory's", async () => {
    const image = tinyImage();
    await writeLayout([{ image, annotations: { [REF]: "v1" } }]);
    const stored = await lab.pull(`oci:${directory}`);
    assert.equal(stored.id, image.config.digest);
    assert.equal(stored.manifestDigest, image.manifest.digest);
    assert.deepEqual(stored.names, ["localhost/my-layout:v1"]);
  });
  for (const mediaType of [
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  ])
    it(`takes a layer of type ${mediaType} that lies in it, and asks no address for one that does not`, async () => {
      const tars = [tarOf({ a: "1" })];
      const { layers } = tinyImage({ tars });
      const image = tinyImage({
        tars,
        manifest: {
          layers: layers.map(({ digest, bytes }) => ({
            mediaType,
            digest,
            size: bytes.length,
            urls: ["http://127.0.0.1:1/layer"],
          })),
        },
      });
      await writeLayout([{ image }]);
      for (const { digest } of layers) await rm(blobPath(digest), { force: true });
      await rejects(`oci:${directory}`, "foreign-layer", /non-distributable .* not there/);
      await writeBlobs(...layers);
      assert.equal((await lab.pull(`oci:${directory}`)).id, image.config.digest);
    });
  it("refuses a copied configuration beside other layers, and the real image then has its id", async () => {
    const tar = tarOf({ a: "real" });
    const real = tinyImage({ tars: [tar] });
    const layers = [blob(gzipSync(tarOf({ a: "fake" })), `${OCI_LAYER}+gzip`)];
    await writeLayout([{ image: { ...real, layers, manifest: manifestOf(real.config, layers) } }]);
    await rejects(`oci:${directory}`, "digest-mismatch", /uncompressed data is/);
    assert.deepEqual(lab.store.list(), []);
    await writeLayout([{ image: real }]);
    const stored = await lab.pull(`oci:${directory}`);
    assert.deepEqual([stored.id, stored.layers[0]?.digest], [real.config.digest, real.layers[0]?.digest]);
  });
  it("takes the image that is named", async () => {
    const [one, two] = [tinyImage(), tinyImage()];
    await writeLayout([
      { image: one, annotations: { [REF]: "one" } },
      { image: two, annotations: { [REF]: "two" } },
    ]);
    assert.equal((await lab.pull(`oci:${directory}:two`)).id, two.config.digest);
  });
  it("keeps the full name that the layout notes", async () => {
    await writeLayout([{ image: tinyImage(), annotations: { "io.containerd.image.name": "ghcr.io/a/b:c" } }]);
    assert.deepEqual((await lab.pull(`oci:${directory}`)).names, ["ghcr.io/a/b:c"]);
  });
  it("chooses the platform among images of one name, and in an index below", async () => {
    const [arm, amd] = [tinyImage({ architecture: "arm64" }), tinyImage()];
    const entries = [
      { image: arm, platform: "linux/arm64" },
      { image: amd, platform: "linux/amd64" },
    ];
    await writeLayout(entries);
    assert.equal((await lab.pull(`oci:${directory}`)).id, amd.config.digest);
    const inner = indexOf(entries);
    await writeBlobs(inner);
    const outer = {
      schemaVersion: 2,
      manifests: [{ mediaType: OCI_INDEX, digest: inner.digest, size: inner.bytes.length }],
    };
    await writeFile(join(directory, "index.json"), JSON.stringify(outer));
    assert.equal((await lab.pull(`oci:${directory}`)).id, amd.config.digest);
  });
  it("asks which one where there are several", async () => {
    await writeLayout(["one", "two"].map((name) => ({ image: tinyImage(), annotations: { [REF]: name } })));
    await rejects(`oci:${directory}`, "ambiguous-image", /one, two/);
    await rejects(`oci:${directory}:three`, "image-not-found", /no image named three.*one, two/);
  });
  it("refuses a directory that is no layout", async () => {
    await writeFile(join(directory, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
    await rejects(`oci:${directory}`, "invalid-archive", /not an OCI image layout/);
    await rm(join(directory, "oci-layout"));
    await rejects(`oci:${directory}`, "no-such-file", /oci-layout/);
  });
  it("refuses a blob that is not what its name says", async () => {
    const image = tinyImage();
    await writeLayout([{ image }]);
    const layer = image.layers[0];
    assert.ok(layer);
    await writeFile(blobPath(layer.digest), Buffer.alloc(layer.bytes.length));
    await rejects(`oci:${directory}`, "digest-mismatch", new RegExp(layer.digest));
    await writeFile(blobPath(layer.digest), "short");
    await rejects(`oci:${directory}`, "size-mismatch", /has 5 bytes/);
    await writeFile(blobPath(layer.digest), Buffer.concat([layer.bytes, Buffer.alloc(1)]));
    await rejects(`oci:${directory}`, "size-mismatch", /bytes/);
    await rm(blobPath(layer.digest));
    await rejects(`oci:${directory}`, "no-such-file", new RegExp(layer.digest));
  });
  it("refuses a manifest that is not what its name says", async () => {
    const image = tinyImage();
    await writeLayout([{ image }]);
    await writeFile(blobPath(image.manifest.digest), tinyImage().manifest.bytes);
    await rejects(`oci:${directory}`, "digest-mismatch", /manifest/);
  });
  it("refuses what is no regular file, without waiting for it", async () => {
    await writeLayout([{ image: tinyImage() }]);
    await rm(join(directory, "index.json"));
    execFileSync("mkfifo", [join(directory, "index.json")]);
    await rejects(`oci:${directory}`, "invalid-archive", /not a regular file/);
  });
  it("refuses an index that calls itself a manifest", async () => {
    await writeFile(
      join(directory, "index.json"),
      blob('{"mediaType":"x/y","manifests":[]}', OCI_INDEX).bytes,
    );
    await rejects(`oci:${directory}`, "invalid-manifest", /calls itself/);
  });
});
