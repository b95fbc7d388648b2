import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import {
  indexOf,
  manifestOf,
  sha256,
  type TinyImage,
  tarHeader,
  tarOf,
  tinyImage,
} from "../../../test/fixtures/registry/tiny-image.js";

let lab: StoreLab;
let file: string;
beforeEach(async () => {
  lab = await openStoreLab();
  file = join(lab.directory, "image.tar");
});
afterEach(() => lab[Symbol.asyncDispose]());

const blobName = (digest: string) => `blobs/sha256/${digest.slice(7)}`;

function layoutFiles(...images: TinyImage[]): Record<string, Buffer | string> {
  const files: Record<string, Buffer | string> = {
    "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
    "index.json": indexOf(
      images.map((image, n) => ({ image, annotations: { "org.opencontainers.image.ref.name": `v${n}` } })),
    ).bytes,
  };
  for (const { manifest, config, layers } of images) {
    for (const { digest, bytes } of [manifest, config, ...layers]) files[blobName(digest)] = bytes;
  }
  return files;
}

function savedItem(image: TinyImage, tags: string[] | null) {
  return {
    Config: `${image.config.digest.slice(7)}.json`,
    RepoTags: tags,
    Layers: image.layers.map(({ digest }) => `${digest.slice(7)}/layer.tar`),
  };
}

/** What `docker save` wrote up to version 24. */
function savedFiles(image: TinyImage, tags: string[] | null): Record<string, Buffer | string> {
  const files: Record<string, Buffer | string> = {
    "manifest.json": JSON.stringify([savedItem(image, tags)]),
  };
  files[savedItem(image, tags).Config] = image.config.bytes;
  for (const { digest, bytes } of image.layers) {
    files[`${digest.slice(7)}/VERSION`] = "1.0";
    files[`${digest.slice(7)}/json`] = "{}";
    files[`${digest.slice(7)}/layer.tar`] = bytes;
  }
  return files;
}
const plainImage = () => tinyImage({ compress: false });

const rejects = async (source: string, reason: string, message: RegExp) => {
  await assert.rejects(lab.pull(source), { name: "KilnError", reason, message });
  assert.deepEqual(await lab.files(), []);
};

describe("a copied configuration beside other layers", () => {
  const real = plainImage();
  const fakeLayers = plainImage().layers;
  const fake = { ...real, layers: fakeLayers, manifest: manifestOf(real.config, fakeLayers) };
  for (const [scheme, filesOf] of [
    ["oci-archive", (image: TinyImage) => layoutFiles(image)],
    ["docker-archive", (image: TinyImage) => savedFiles(image, ["a:1"])],
  ] as const)
    it(`is refused in ${scheme}, and the real image then has its id`, async () => {
      await writeFile(file, tarOf(filesOf(fake)));
      await rejects(`${scheme}:${file}`, "digest-mismatch", /sha256/);
      assert.deepEqual(lab.store.list(), []);
      await writeFile(file, tarOf(filesOf(real)));
      const stored = await lab.pull(`${scheme}:${file}`);
      assert.deepEqual(
        [stored.id, stored.layers[0]?.diffId],
        [real.config.digest, sha256(real.layers[0]?.bytes ?? "")],
      );
    });
});

describe("oci-archive:FILE", () => {
  it("takes the only image", async () => {
    const image = tinyImage();
    await writeFile(file, tarOf(layoutFiles(image)));
    const stored = await lab.pull(`oci-archive:${file}`);
    assert.equal(stored.id, image.config.digest);
    assert.deepEqual(stored.names, ["localhost/image:v0"]);
  });
  it("reads a compressed archive with ./ before its names", async () => {
    const image = tinyImage();
    const dotted = Object.entries(layoutFiles(image)).map(([name, data]) => [`./${name}`, data] as const);
    await writeFile(file, gzipSync(tarOf(Object.fromEntries(dotted))));
    assert.equal((await lab.pull(`oci-archive:${file}`)).id, image.config.digest);
  });
  it("keeps nothing of the images that were not chosen", async () => {
    const [one, two] = [tinyImage(), tinyImage()];
    await writeFile(file, tarOf(layoutFiles(one, two)));
    await lab.pull(`oci-archive:${file}:v1`);
    const blobs = (await lab.files()).filter((name) => name.startsWith("blobs/"));
    assert.deepEqual(
      blobs,
      [two.manifest, two.config, ...two.layers].map(({ digest }) => blobName(digest)).sort(),
    );
  });
  it("refuses a blob that is not what its name says", async () => {
    const image = tinyImage();
    const layer = image.layers[0]?.digest ?? "";
    await writeFile(file, tarOf({ ...layoutFiles(image), [blobName(layer)]: "other" }));
    await rejects(`oci-archive:${file}`, "digest-mismatch", new RegExp(layer));
  });
  it("names a blob that is missing", async () => {
    const image = tinyImage();
    const files = layoutFiles(image);
    const layer = image.layers[0]?.digest ?? "";
    delete files[blobName(layer)];
    await writeFile(file, tarOf(files));
    await rejects(`oci-archive:${file}`, "invalid-archive", new RegExp(`${layer} is not in the archive`));
  });
  it("refuses a truncated archive", async () => {
    await writeFile(file, tarOf(layoutFiles(tinyImage())).subarray(0, 2000));
    await assert.rejects(lab.pull(`oci-archive:${file}`), { name: "KilnError", message: /image\.tar/ });
    assert.deepEqual(await lab.files(), []);
  });
  it("refuses what is no layout", async () => {
    await writeFile(file, tarOf({ hello: "world" }));
    await rejects(`oci-archive:${file}`, "invalid-archive", /not an OCI image layout/);
  });
  it("writes no name of the archive to the host's disk", async () => {
    const image = tinyImage();
    const nasty = { "../../escape": "x", "/absolute": "x", "a/../../../escape2": "x" };
    await writeFile(file, tarOf({ ...nasty, ...layoutFiles(image) }));
    await lab.pull(`oci-archive:${file}`);
    const before = new Set(["config", "data", "home", "image.tar"]);
    assert.deepEqual(
      (await readdir(lab.directory)).filter((name) => !before.has(name)),
      [],
    );
    assert.ok((await lab.files()).every((name) => !name.includes("escape")));
  });
});

describe("docker-archive:FILE", () => {
  it("takes what docker save wrote, with all its names", async () => {
    const image = plainImage();
    await writeFile(file, tarOf(savedFiles(image, ["nginx:1.25", "ghcr.io/a/b:c"])));
    const stored = await lab.pull(`docker-archive:${file}`);
    assert.equal(stored.id, image.config.digest);
    assert.deepEqual(stored.names, ["docker.io/library/nginx:1.25", "ghcr.io/a/b:c"]);
    assert.deepEqual(
      stored.layers.map(({ digest, diffId, compression }) => [digest === diffId, compression]),
      [[true, "none"]],
    );
  });
  it("gives the same image the same manifest each time", async () => {
    const image = plainImage();
    await writeFile(file, tarOf(savedFiles(image, null)));
    const first = await lab.pull(`docker-archive:${file}`);
    await lab.store.remove(first.id);
    assert.equal((await lab.pull(`docker-archive:${file}`)).manifestDigest, first.manifestDigest);
  });
  it("takes what newer versions write: an OCI layout beside manifest.json", async () => {
    const image = tinyImage();
    const item = {
      Config: blobName(image.config.digest),
      RepoTags: ["app:v1"],
      Layers: image.layers.map(({ digest }) => blobName(digest)),
    };
    await writeFile(file, tarOf({ ...layoutFiles(image), "manifest.json": JSON.stringify([item]) }));
    const stored = await lab.pull(`docker-archive:${file}`);
    assert.deepEqual([stored.id, stored.layers[0]?.compression], [image.config.digest, "gzip"]);
  });
  it("chooses by name and by index", async () => {
    const [one, two] = [plainImage(), plainImage()];
    const files = { ...savedFiles(one, ["one:v1"]), ...savedFiles(two, ["two:v1"]) };
    files["manifest.json"] = JSON.stringify([savedItem(one, ["one:v1"]), savedItem(two, ["two:v1"])]);
    await writeFile(file, tarOf(files));
    assert.equal((await lab.pull(`docker-archive:${file}:two:v1`)).id, two.config.digest);
    assert.equal((await lab.pull(`docker-archive:${file}:@0`)).id, one.config.digest);
    await assert.rejects(lab.pull(`docker-archive:${file}`), {
      reason: "ambiguous-image",
      message: /one:v1.*two:v1/,
    });
    await assert.rejects(lab.pull(`docker-archive:${file}:three`), {
      reason: "image-not-found",
      message: /one:v1/,
    });
  });
  it("follows links between layers, but not out of the archive", async () => {
    const tar = tarOf({ same: "x" });
    const image = tinyImage({ tars: [tar, tar, tar], compress: false });
    const item = { ...savedItem(image, null), Layers: ["a/layer.tar", "b/layer.tar", "c/layer.tar"] };
    const members = [
      tarOf({
        "manifest.json": JSON.stringify([item]),
        [item.Config]: image.config.bytes,
        "a/layer.tar": tar,
      }),
      tarHeader("b/layer.tar", "2", 0, "../a/layer.tar"),
      tarHeader("c/layer.tar", "1", 0, "a/layer.tar"),
      Buffer.alloc(1024),
    ];
    const [first = Buffer.alloc(0), ...rest] = members;
    await writeFile(file, Buffer.concat([first.subarray(0, -1024), ...rest]));
    assert.equal((await lab.pull(`docker-archive:${file}`)).id, image.config.digest);
  });
  for (const target of ["../../../etc/hostname", "/etc/hostname", "b/layer.tar"]) {
    it(`finds nothing behind a link to ${target}`, async () => {
      const image = plainImage();
      const item = { ...savedItem(image, null), Layers: ["b/layer.tar"] };
      const start = tarOf({ "manifest.json": JSON.stringify([item]), [item.Config]: image.config.bytes });
      const link = tarHeader("b/layer.tar", "2", 0, target);
      await writeFile(file, Buffer.concat([start.subarray(0, -1024), link, Buffer.alloc(1024)]));
      await rejects(`docker-archive:${file}`, "invalid-archive", /b\/layer\.tar is missing/);
    });
  }
  it("refuses a layer that is not the one the config names", async () => {
    const image = plainImage();
    const layer = `${image.layers[0]?.digest.slice(7)}/layer.tar`;
    await writeFile(file, tarOf({ ...savedFiles(image, null), [layer]: tarOf({ other: "x" }) }));
    await rejects(`docker-archive:${file}`, "digest-mismatch", new RegExp(image.layers[0]?.digest ?? ""));
  });
  for (const [what, manifest] of [
    ["no JSON", "{"],
    ["no list", "{}"],
    ["an empty list", "[]"],
    ["layers that are no names", '[{"Config":"a","Layers":[1]}]'],
  ] as const) {
    it(`refuses a manifest.json that is ${what}`, async () => {
      await writeFile(file, tarOf({ "manifest.json": manifest }));
      await rejects(`docker-archive:${file}`, "invalid-archive", /manifest\.json/);
    });
  }
  it("points to oci-archive where there is no manifest.json", async () => {
    await writeFile(file, tarOf({ a: "b" }));
    await assert.rejects(lab.pull(`docker-archive:${file}`), {
      reason: "invalid-archive",
      hint: /oci-archive/,
    });
  });
  it("bounds what an archive may hold", async () => {
    await lab.restart({ imageBytes: 3000 });
    await writeFile(
      file,
      tarOf(savedFiles(tinyImage({ tars: [Buffer.alloc(4096)], compress: false }), null)),
    );
    await rejects(`docker-archive:${file}`, "image-too-large", /more than 3000 bytes/);
  });
  it("says that there is no such file", async () => {
    await rejects(`docker-archive:${join(lab.directory, "gone")}`, "no-such-file", /gone/);
  });
  it("knows a layer by its content, whatever the archive calls it", async () => {
    const image = plainImage();
    const files = savedFiles(image, null);
    await writeFile(file, tarOf(files));
    const stored = await lab.pull(`docker-archive:${file}`);
    assert.equal(stored.layers[0]?.digest, sha256(image.layers[0]?.bytes ?? ""));
  });
});
