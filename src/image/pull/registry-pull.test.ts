import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import {
  type FakeRegistry,
  serveBytes,
  startFakeRegistry,
} from "../../../test/fixtures/registry/fake-registry.js";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import {
  blob,
  indexOf,
  manifestOf,
  OCI_LAYER,
  tarOf,
  tinyImage,
} from "../../../test/fixtures/registry/tiny-image.js";
import { deferred } from "../../base/runtime.js";

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

describe("pulling from a registry", () => {
  it("brings an image into the store and says all about it", async () => {
    const image = tinyImage({
      tars: [tarOf({ a: "1" }), tarOf({ b: "2" })],
      run: { Cmd: ["/a"], Env: ["X=y"] },
    });
    registry.addImage("team/app", "v1", image);
    const stored = await lab.pull(`${registry.host}/team/app:v1`);
    assert.equal(stored.id, image.config.digest);
    assert.deepEqual(stored.names, [`${registry.host}/team/app:v1`]);
    assert.deepEqual(stored.digests, [`${registry.host}/team/app@${image.manifest.digest}`]);
    assert.deepEqual(stored.run.env, ["X=y"]);
    assert.deepEqual(
      stored.layers.map(({ digest, compression }) => [digest, compression]),
      image.layers.map(({ digest }) => [digest, "gzip"]),
    );
    assert.equal(await lab.store.readBlobText(stored.id, 10_000), image.config.bytes.toString());
    const { pulledAs, ...found } = stored;
    assert.deepEqual(lab.store.find(`${registry.host}/team/app:v1`), found);
    assert.equal(pulledAs, `${registry.host}/team/app:v1`);
  });

  it("finds the platform in an index and remembers what the tag led to", async () => {
    const arm = tinyImage({ architecture: "arm64" });
    const amd = tinyImage();
    const index = indexOf([
      { image: arm, platform: "linux/arm64/v8" },
      { image: amd, platform: "linux/amd64" },
    ]);
    for (const image of [arm, amd]) registry.addImage("a", "inner", image);
    registry.addManifest("a", "v1", index);
    const stored = await lab.pull(`${registry.host}/a:v1`);
    assert.equal(stored.id, amd.config.digest);
    assert.equal(stored.manifestDigest, amd.manifest.digest);
    assert.deepEqual(stored.digests, [`${registry.host}/a@${index.digest}`]);
    const other = await lab.pull(`${registry.host}/a:v1`, {
      platform: { os: "linux", architecture: "arm64" },
    });
    assert.equal(other.id, arm.config.digest);
  });

  it("says what it was pulled as, whatever else the same content is called", async () => {
    const image = tinyImage();
    for (const name of ["first", "second"]) registry.addImage(name, "t", image);
    const pulledAs = async (reference: string) => (await lab.pull(`${registry.host}/${reference}`)).pulledAs;
    const names = ["first:t", "second:t", `second@${image.manifest.digest}`, "first:t"];
    for (const name of names) assert.equal(await pulledAs(name), `${registry.host}/${name}`);
  });

  it("takes a non-distributable layer that the registry has", async () => {
    const tars = [tarOf({ a: "1" })];
    const { layers } = tinyImage({ tars });
    const mediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    const described = layers.map(({ digest, bytes }) => ({ mediaType, digest, size: bytes.length }));
    const image = tinyImage({ tars, manifest: { layers: described } });
    registry.addImage("a", "v1", { ...image, layers: [] });
    await assert.rejects(lab.pull(`${registry.host}/a:v1`), { reason: "foreign-layer" });
    registry.addImage("a", "v1", image);
    assert.equal((await lab.pull(`${registry.host}/a:v1`)).id, image.config.digest);
  });

  it("takes the highest level of amd64 that runs, in an index and alone", async () => {
    const [v1, v3, v4] = [
      tinyImage(),
      tinyImage({ config: { variant: "v3" } }),
      tinyImage({ config: { variant: "v4" } }),
    ];
    const index = indexOf([
      { image: v1, platform: "linux/amd64" },
      { image: v4, platform: "linux/amd64/v4" },
      { image: v3, platform: "linux/amd64/v3" },
    ]);
    for (const image of [v1, v3, v4]) registry.addImage("a", "inner", image);
    registry.addManifest("a", "v1", index);
    const idOf = async (variant: string, tag: string) =>
      (
        await lab.pull(`${registry.host}/a:${tag}`, {
          platform: { os: "linux", architecture: "amd64", variant },
        })
      ).id;
    assert.equal(await idOf("v3", "v1"), v3.config.digest);
    assert.equal(await idOf("v2", "v1"), v1.config.digest);
    assert.equal(await idOf("v4", "v1"), v4.config.digest);
    assert.equal(await idOf("v4", "inner"), v4.config.digest);
    await assert.rejects(idOf("v2", "inner"), { reason: "no-such-platform" });
  });

  it("gives no tag to what was pulled by digest, even with a tag beside it", async () => {
    const image = tinyImage();
    registry.addImage("a", "v1", image);
    const stored = await lab.pull(`${registry.host}/a:other@${image.manifest.digest}`);
    assert.deepEqual(stored.names, []);
    assert.equal(lab.store.find(`${registry.host}/a@${image.manifest.digest}`)?.id, stored.id);
  });

  it("moves a tag to the image that it means now", async () => {
    const [before, now] = [tinyImage(), tinyImage()];
    registry.addImage("a", "v1", before);
    const first = await lab.pull(`${registry.host}/a:v1`);
    registry.addImage("a", "v1", now);
    await lab.pull(`${registry.host}/a:v1`);
    assert.equal(lab.store.find(`${registry.host}/a:v1`)?.id, now.config.digest);
    assert.deepEqual(lab.store.find(first.id)?.names, []);
  });

  it("fetches a layer that occurs twice only once", async () => {
    const tar = tarOf({ a: "1" });
    const image = tinyImage({ tars: [tar, tar] });
    registry.addImage("a", "v1", image);
    assert.equal((await lab.pull(`${registry.host}/a:v1`)).layers.length, 2);
    assert.equal(registry.asked(image.layers[0]?.digest ?? "").length, 1);
  });

  it("does not fetch layers that another image has brought", async () => {
    const tar = tarOf({ shared: "1" });
    registry.addImage("a", "v1", tinyImage({ tars: [tar], run: { Cmd: ["1"] } }));
    const second = tinyImage({ tars: [tar], run: { Cmd: ["2"] } });
    registry.addImage("b", "v1", second);
    await lab.pull(`${registry.host}/a:v1`);
    await lab.pull(`${registry.host}/b:v1`);
    assert.equal(registry.asked(second.layers[0]?.digest ?? "").length, 1);
    assert.ok(lab.progress.some(({ id, status }) => id === second.layers[0]?.digest && status === "exists"));
  });

  it("knows an image by its config, however its layers are compressed elsewhere", async () => {
    const tar = tarOf({ a: "1" });
    const zipped = tinyImage({ tars: [tar] });
    const plain = tinyImage({ tars: [tar], compress: false });
    assert.equal(zipped.config.digest, plain.config.digest);
    registry.addImage("a", "zipped", zipped);
    registry.addImage("a", "plain", plain);
    await lab.pull(`${registry.host}/a:zipped`);
    const stored = await lab.pull(`${registry.host}/a:plain`);
    assert.equal(stored.names.length, 2);
    assert.equal(registry.asked(plain.layers[0]?.digest ?? "").length, 0);
  });

  describe("under an id that another image has taken", () => {
    const tar = tarOf({ a: "real" });
    const real = tinyImage({ tars: [tar] });
    const fakeLayer = blob(gzipSync(tarOf({ a: "fake" })), `${OCI_LAYER}+gzip`);
    const fake = { ...real, layers: [fakeLayer], manifest: manifestOf(real.config, [fakeLayer]) };
    beforeEach(() => {
      registry.addImage("evil", "x", fake);
      registry.addImage("good", "x", real);
    });

    /** As an earlier release left it, which did not look: the fake has the id. */
    async function plantFake(): Promise<void> {
      const carrier = tinyImage({ tars: [tarOf({ a: "fake" })] });
      const layers = [fakeLayer];
      registry.addImage("carrier", "x", { ...carrier, layers, manifest: manifestOf(carrier.config, layers) });
      await lab.pull(`${registry.host}/carrier:x`);
      await lab.pull(`${registry.host}/good:x`);
      const path = join(lab.dataRoot, "images", `${real.config.digest.slice("sha256:".length)}.json`);
      const { verified: _, ...record } = JSON.parse(await readFile(path, "utf8"));
      record.layers[0] = { ...record.layers[0], digest: fakeLayer.digest, sizeBytes: fakeLayer.bytes.length };
      await writeFile(path, JSON.stringify(record));
      await lab.restart();
      const [layer] = lab.store.find(real.config.digest)?.layers ?? [];
      assert.equal(layer?.digest, fakeLayer.digest);
    }

    it("is refused, contested or not, and leaves nothing", async () => {
      const pulling = lab.pull(`${registry.host}/evil:x`);
      await assert.rejects(pulling, { reason: "digest-mismatch", message: /uncompressed data is/ });
      assert.deepEqual(lab.store.list(), []);
      assert.deepEqual(await lab.files(), []);
    });

    it("is refused where the layer came in pieces, or was here before", async () => {
      const large = blob(gzipSync(tarOf({ a: randomBytes(500_000) })), `${OCI_LAYER}+gzip`);
      const layers = [large];
      registry.addImage("evil", "large", { ...real, layers, manifest: manifestOf(real.config, layers) });
      let cut = false;
      registry.intercept = (request, response) => {
        if (cut || request.url?.endsWith(large.digest) !== true) return false;
        cut = true;
        response.setHeader("content-length", large.bytes.length);
        response.write(large.bytes.subarray(0, 300_000), () => response.destroy());
        return true;
      };
      const inPieces = lab.pull(`${registry.host}/evil:large`);
      await assert.rejects(inPieces, { reason: "digest-mismatch", message: /uncompressed data is/ });
      const own = tinyImage({ tars: [tarOf({ a: "fake" })] });
      registry.addImage("own", "x", {
        ...own,
        layers: [fakeLayer],
        manifest: manifestOf(own.config, [fakeLayer]),
      });
      await lab.pull(`${registry.host}/own:x`);
      await assert.rejects(lab.pull(`${registry.host}/evil:x`), { reason: "digest-mismatch" });
      assert.deepEqual(
        lab.store.list().map(({ id }) => id),
        [own.config.digest],
      );
    });

    it("gives the id to the image whose layers are those of its config", async () => {
      await plantFake();
      const stored = await lab.pull(`${registry.host}/good:x`);
      assert.equal(stored.id, real.config.digest);
      assert.deepEqual(
        stored.layers.map(({ digest }) => digest),
        real.layers.map(({ digest }) => digest),
      );
      // From now on it is known to be right: not even a look is needed.
      await lab.restart();
      await lab.pull(`${registry.host}/evil:x`);
      assert.deepEqual(
        lab.store.find(real.config.digest)?.layers.map(({ digest }) => digest),
        real.layers.map(({ digest }) => digest),
      );
    });

    it("does not lose it to the other", async () => {
      await lab.pull(`${registry.host}/good:x`);
      const stored = await lab.pull(`${registry.host}/evil:x`);
      assert.deepEqual(
        stored.layers.map(({ digest }) => digest),
        real.layers.map(({ digest }) => digest),
      );
      assert.equal(registry.asked(fakeLayer.digest).length, 0);
    });

    it("is taken from a fake of an earlier release also where only the fake is there to be pulled", async () => {
      await plantFake();
      await assert.rejects(lab.pull(`${registry.host}/evil:x`), { reason: "digest-mismatch" });
      assert.equal(lab.store.find(real.config.digest), undefined);
    });
  });

  it("fetches several layers at once, but not more than it may", async () => {
    await using few = await openStoreLab({ concurrentLayers: 2 });
    const image = tinyImage({ tars: [1, 2, 3, 4, 5].map((n) => tarOf({ file: `${n}` })) });
    registry.addImage("a", "v1", image);
    let running = 0;
    let most = 0;
    let waiting: (() => void)[] = [];
    registry.intercept = (request, response) => {
      const layer = image.layers.find(({ digest }) => request.url?.endsWith(digest));
      if (layer === undefined) return false;
      most = Math.max(most, ++running);
      response.once("finish", () => running--);
      waiting.push(() => serveBytes(layer.bytes, request, response));
      // answers come in pairs: with one request at a time the pull would wait for ever; the last is alone
      if (waiting.length === 2 || layer === image.layers.at(-1)) {
        for (const go of waiting) go();
        waiting = [];
      }
      return true;
    };
    assert.equal((await few.pull(`${registry.host}/a:v1`)).layers.length, 5);
    assert.equal(most, 2);
  });

  it("shares a download between two pulls, and shows its progress to both", async () => {
    const tar = tarOf({ shared: "x".repeat(5000) });
    const [one, two] = ["1", "2"].map((name) => tinyImage({ tars: [tar], run: { Cmd: [name] } }));
    assert.ok(one && two);
    registry.addImage("one", "v1", one);
    registry.addImage("two", "v1", two);
    const layer = one.layers[0];
    assert.ok(layer);
    const held = deferred<() => void>();
    registry.intercept = (request, response) => {
      if (!request.url?.endsWith(layer.digest)) return false;
      held.resolve(() => serveBytes(layer.bytes, request, response));
      return true;
    };
    const seen: string[] = [];
    const joined = deferred<void>();
    const first = lab.pull(`${registry.host}/one:v1`);
    const release = await held.promise;
    const second = lab.pull(`${registry.host}/two:v1`, {
      onProgress: ({ id, status }) => {
        if (id === layer.digest) seen.push(status);
        if (status === "waiting") joined.resolve();
      },
    });
    await joined.promise;
    release();
    await Promise.all([first, second]);
    assert.equal(registry.asked(layer.digest).length, 1);
    assert.ok(seen.includes("done") || seen.includes("exists"));
  });

  it("lets the second pull go on when the first one is cancelled", async () => {
    const tar = tarOf({ shared: "x" });
    const [one, two] = ["1", "2"].map((name) => tinyImage({ tars: [tar], run: { Cmd: [name] } }));
    assert.ok(one && two);
    registry.addImage("one", "v1", one);
    registry.addImage("two", "v1", two);
    const held = deferred<ServerResponse>();
    let holding = true;
    registry.intercept = (request, response) => {
      if (!holding || !request.url?.endsWith(one.layers[0]?.digest ?? "")) return false;
      held.resolve(response);
      return true;
    };
    const controller = new AbortController();
    const first = lab.pull(`${registry.host}/one:v1`, { signal: controller.signal });
    await held.promise;
    const joined = deferred<void>();
    const second = lab.pull(`${registry.host}/two:v1`, {
      onProgress: ({ status }) => status === "waiting" && joined.resolve(),
    });
    await joined.promise;
    holding = false;
    controller.abort();
    await assert.rejects(first, { reason: "cancelled" });
    assert.equal((await second).id, two.config.digest);
  });
});
