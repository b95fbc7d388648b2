import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type FakeRegistry, startFakeRegistry } from "../../../test/fixtures/registry/fake-registry.js";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import { blob, indexOf, manifestOf, tinyImage } from "../../../test/fixtures/registry/tiny-image.js";

let registry: FakeRegistry;
let lab: StoreLab;
beforeEach(async () => {
  registry = await startFakeRegistry();
  lab = await openStoreLab();
});
afterEach(async () => {
  await registry.close();
  await lab[Symbol.asyncDispose]();
});
const nothingLeft = async () => assert.deepEqual(await lab.files(), []);

describe("pulling what can't run", () => {
  const rejects = async (reason: string, message: RegExp) => {
    await assert.rejects(lab.pull(`${registry.host}/a:v1`), { name: "KilnError", reason, message });
    await nothingLeft();
  };

  it("names the platforms that an index has", async () => {
    registry.addManifest("a", "v1", indexOf([{ image: tinyImage(), platform: "linux/riscv64" }]));
    await rejects("no-such-platform", /a:v1 is not built for linux\/amd64; it is for linux\/riscv64/);
  });
  it("names the platform of an image without an index", async () => {
    registry.addImage("a", "v1", tinyImage({ architecture: "s390x" }));
    await rejects("no-such-platform", /it is for linux\/s390x/);
  });
  it("refuses an artifact", async () => {
    const chart = blob("{}", "application/vnd.cncf.helm.config.v1+json");
    registry.addManifest("a", "v1", manifestOf(chart, []));
    await rejects("not-an-image", /helm/);
  });
  it("refuses a config without a root file system", async () => {
    registry.addImage("a", "v1", tinyImage({ config: { rootfs: undefined } }));
    await rejects("not-an-image", /no root file system/);
  });
  it("refuses a media type that it does not know", async () => {
    registry.addManifest("a", "v1", {
      ...tinyImage().manifest,
      mediaType: "application/vnd.docker.distribution.manifest.v1+json",
    });
    await rejects("invalid-manifest", /calls itself/);
  });
  it("refuses a config that names another number of layers", async () => {
    registry.addImage("a", "v1", tinyImage({ config: { rootfs: { type: "layers", diff_ids: [] } } }));
    await rejects("invalid-image-config", /1 layers, the config names 0/);
  });
  it("refuses an uncompressed layer that is not the one the config names", async () => {
    const rootfs = { type: "layers", diff_ids: [`sha256:${"1".repeat(64)}`] };
    registry.addImage("a", "v1", tinyImage({ compress: false, config: { rootfs } }));
    await rejects("digest-mismatch", /should be sha256:1/);
  });
  it("refuses a layer in a compression that it can't read", async () => {
    const xz = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 1, 2, 3]);
    registry.addImage("a", "v1", tinyImage({ tars: [xz], compress: false }));
    await rejects("unsupported-compression", /xz/);
  });
  it("refuses a manifest above the limit, announced or not", async () => {
    registry.intercept = (_request, response) => {
      response.setHeader("content-type", "application/json");
      const chunk = Buffer.alloc(1024 * 1024, " ");
      const write = () => {
        while (!response.destroyed && response.write(chunk));
        response.once("drain", write);
      };
      write();
      return true;
    };
    await rejects("image-too-large", /larger than 4194304 bytes/);
  });
  it("refuses a manifest that is not what its digest says", async () => {
    const [asked, given] = [tinyImage(), tinyImage()];
    registry.intercept = (_request, response) => {
      response.setHeader("content-type", given.manifest.mediaType);
      response.end(given.manifest.bytes);
      return true;
    };
    await assert.rejects(lab.pull(`${registry.host}/a@${asked.manifest.digest}`), {
      reason: "digest-mismatch",
    });
    await nothingLeft();
  });
  it("refuses a tag's manifest that differs from what the registry announces", async () => {
    const { manifest } = tinyImage();
    registry.intercept = (_request, response) => {
      response.setHeader("content-type", manifest.mediaType);
      response.setHeader("docker-content-digest", `sha256:${"0".repeat(64)}`);
      response.end(manifest.bytes);
      return true;
    };
    await rejects("digest-mismatch", /sent sha256:/);
  });
  it("reports a full disk before it is full", async () => {
    await using full = await openStoreLab({ diskReserveBytes: 2 ** 60 });
    registry.addImage("a", "v1", tinyImage());
    await assert.rejects(full.pull(`${registry.host}/a:v1`), {
      reason: "host-disk-full",
      message: /are free/,
    });
    assert.deepEqual(await full.files(), []);
  });
  it("names the tag that is not there", async () => {
    registry.addImage("a", "other", tinyImage());
    await rejects("image-not-found", /no such image: 127\.0\.0\.1:[0-9]+\/a:v1/);
  });
  it("says that nobody listens, at once", async () => {
    await registry.close();
    await rejects("registry-unreachable", /nothing listens/);
  });
});
