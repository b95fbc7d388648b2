// Pulling from Debian's docker-registry what skopeo has pushed there: formats, compressions, log-ins, mirrors, cuts.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { decompress } from "../../src/image/layers/index.js";
import type { StoredImage } from "../../src/image/types.js";
import {
  cannotRunRegistry,
  type RegistryOptions,
  runProgram,
  startRegistry,
  type TestRegistry,
} from "../fixtures/registry/index.js";
import { openLine } from "../fixtures/registry/line.js";
import { openStoreLab, type StoreLab } from "../fixtures/registry/store-lab.js";
import { indexOf, type TinyImage, tarOf, tinyImage, writeLayout } from "../fixtures/registry/tiny-image.js";

const skip = cannotRunRegistry() ?? false;
const LAYER_BYTES = 3_000_000;

let lab: StoreLab;
let image: TinyImage;
let layout: string;
beforeEach(async () => {
  lab = await openStoreLab();
  layout = join(lab.directory, "layout");
  image = tinyImage({
    compress: false,
    tars: [tarOf({ a: randomBytes(LAYER_BYTES) }), tarOf({ b: "b".repeat(50_000), c: randomBytes(1000) })],
    run: { Cmd: ["/bin/app"], Env: ["A=b"] },
  });
  await writeLayout(layout, [{ image, tag: "v1" }]);
});
afterEach(() => lab[Symbol.asyncDispose]());

/** Every layer unpacks to what the config names. */
async function assertIntact(stored: StoredImage): Promise<void> {
  for (const { digest, diffId, compression } of stored.layers) {
    const blob = await readFile(lab.store.blobPath(digest));
    const stream = decompress(
      (async function* () {
        yield blob;
      })(),
      compression,
    );
    const hash = createHash("sha256");
    for await (const chunk of stream) hash.update(chunk);
    await stream.close();
    assert.equal(`sha256:${hash.digest("hex")}`, diffId);
  }
}

function withRegistry(options: RegistryOptions): () => TestRegistry {
  let registry: TestRegistry | undefined;
  before(async () => {
    registry = await startRegistry(options);
  });
  after(() => registry?.stop());
  return () => {
    assert.ok(registry);
    return registry;
  };
}

describe("docker-registry", { skip }, () => {
  const registry = withRegistry({});

  for (const { format, compression } of [
    { format: "oci", compression: "zstd" },
    { format: "oci", compression: "gzip" },
    { format: "v2s2", compression: "gzip" },
  ] as const) {
    it(`serves ${format} images with ${compression} layers`, async () => {
      const name = `team/${format}-${compression}:v1`;
      await registry().push(`oci:${layout}:v1`, name, { format, compression });
      const stored = await lab.pull(`${registry().host}/${name}`);
      assert.deepEqual(
        stored.layers.map((layer) => layer.compression),
        [compression, compression],
      );
      assert.deepEqual([stored.run.cmd, stored.run.env], [["/bin/app"], ["A=b"]]);
      await assertIntact(stored);
    });
  }

  it("serves an index of several platforms", async () => {
    const images = ["amd64", "arm64"].map((architecture) => ({
      image: tinyImage({ architecture }),
      platform: `linux/${architecture}`,
    }));
    const directory = join(lab.directory, "multi");
    await writeLayout(directory, images);
    const index = indexOf(images);
    await writeFile(join(directory, "blobs/sha256", index.digest.slice(7)), index.bytes);
    const { digest, mediaType, bytes } = index;
    const top = { schemaVersion: 2, manifests: [{ mediaType, digest, size: bytes.length }] };
    await writeFile(join(directory, "index.json"), JSON.stringify(top));
    await runProgram("skopeo", [
      "copy",
      "--quiet",
      "--all",
      "--dest-tls-verify=false",
      `oci:${directory}`,
      `docker://${registry().host}/multi:v1`,
    ]);
    for (const { image: wanted, platform } of images) {
      const [os = "", architecture = ""] = platform.split("/");
      const stored = await lab.pull(`${registry().host}/multi:v1`, { platform: { os, architecture } });
      assert.equal(stored.id, wanted.config.digest);
      assert.deepEqual(stored.digests, [`${registry().host}/multi@${digest}`]);
    }
    await assert.rejects(
      lab.pull(`${registry().host}/multi:v1`, { platform: { os: "linux", architecture: "s390x" } }),
      { reason: "no-such-platform", message: /linux\/amd64, linux\/arm64/ },
    );
  });

  it("gives by digest what it gave by tag", async () => {
    await registry().push(`oci:${layout}:v1`, "team/digest:v1");
    const first = await lab.pull(`${registry().host}/team/digest:v1`);
    const [name] = first.digests;
    await lab.store.remove(first.id);
    assert.equal((await lab.pull(name ?? "")).id, first.id);
  });

  it("says which tag it does not have", async () => {
    await registry().push(`oci:${layout}:v1`, "team/tags:v1");
    await assert.rejects(lab.pull(`${registry().host}/team/tags:v2`), {
      reason: "image-not-found",
      message: /team\/tags:v2/,
    });
  });

  it("resumes a layer after the line was cut in its middle", async () => {
    await registry().push(`oci:${layout}:v1`, "team/cut:v1");
    await using line = await openLine(registry().host);
    line.cutAfter(LAYER_BYTES / 2);
    const stored = await lab.pull(`${line.host}/team/cut:v1`);
    assert.equal(line.cuts, 1);
    await assertIntact(stored);
    // begun anew, it would have carried the layer one and a half times
    assert.ok(line.bytes < LAYER_BYTES * 1.25, `${line.bytes} bytes for a layer of ${LAYER_BYTES}`);
  });

  for (const { what, reason, spoil } of [
    { what: "truncated", reason: "size-mismatch", spoil: (whole: Buffer) => whole.subarray(0, 1_000_000) },
    { what: "changed", reason: "digest-mismatch", spoil: (whole: Buffer) => randomBytes(whole.length) },
  ]) {
    it(`refuses a layer that was ${what} in its storage`, async () => {
      // compressed already, so that skopeo pushes it as it is
      const zipped = tinyImage({ tars: [tarOf({ a: randomBytes(LAYER_BYTES) })] });
      const directory = join(lab.directory, "zipped");
      await writeLayout(directory, [{ image: zipped, tag: "v1" }]);
      await registry().push(`oci:${directory}:v1`, `team/${what}:v1`);
      const hex = zipped.layers[0]?.digest.slice(7) ?? "";
      const path = join(registry().storage, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
      await writeFile(path, spoil(await readFile(path)));
      await assert.rejects(lab.pull(`${registry().host}/team/${what}:v1`), { reason });
      assert.deepEqual(await lab.files(), []);
    });
  }

  it("stands in for a registry that hosts.toml gives a mirror", async () => {
    await registry().push(`oci:${layout}:v1`, "library/mirrored:v1");
    const directory = join(lab.configRoot, "certs.d", "docker.io");
    await mkdir(directory, { recursive: true });
    const mirror = `[host."http://${registry().host}"]\ncapabilities = ["pull", "resolve"]`;
    // the registry itself must not be reached from a test, should the mirror fail
    await writeFile(join(directory, "hosts.toml"), `server = "http://127.0.0.1:1"\n${mirror}`);
    const stored = await lab.pull("mirrored:v1");
    assert.deepEqual(stored.names, ["docker.io/library/mirrored:v1"]);
    assert.equal(stored.id, image.config.digest);
  });
});

for (const auth of ["basic", "token"] as const) {
  describe(`docker-registry with ${auth} authentication`, { skip }, () => {
    const registry = withRegistry({ auth });
    const name = () => `${registry().host}/team/private:v1`;
    beforeEach(() => registry().push(`oci:${layout}:v1`, "team/private:v1"));

    it("lets in who is given credentials", async () => {
      const { host, username, password } = registry();
      const stored = await lab.pull(name(), { credentials: new Map([[host, { username, password }]]) });
      assert.equal(stored.id, image.config.digest);
    });
    it("lets in whose auth file has credentials for the repository", async () => {
      const { host, basicAuth } = registry();
      lab.env.REGISTRY_AUTH_FILE = join(lab.directory, "auth.json");
      const auths = { [`${host}/team`]: { auth: basicAuth }, [host]: { auth: "d3Jvbmc6d3Jvbmc=" } };
      await writeFile(lab.env.REGISTRY_AUTH_FILE, JSON.stringify({ auths }));
      assert.equal((await lab.pull(name())).id, image.config.digest);
    });
    it("refuses a wrong password", async () => {
      const credentials = new Map([[registry().host, { username: registry().username, password: "wrong" }]]);
      await assert.rejects(lab.pull(name(), { credentials }), { reason: "unauthorized" });
      assert.deepEqual(await lab.files(), []);
    });
    it("refuses who has no credentials", async () => {
      await assert.rejects(lab.pull(name()), { reason: "unauthorized", hint: /log in/ });
    });
  });
}

describe("docker-registry with a token server", { skip }, () => {
  const registry = withRegistry({ auth: "token" });

  it("lets in who has an identity token", async () => {
    await registry().push(`oci:${layout}:v1`, "team/oauth:v1");
    const { host, tokenServer } = registry();
    const credentials = new Map([[host, { identityToken: tokenServer?.identityToken ?? "" }]]);
    const stored = await lab.pull(`${host}/team/oauth:v1`, { credentials });
    assert.equal(stored.id, image.config.digest);
    assert.equal(tokenServer?.asked.at(-1), "POST");
  });
});

describe("docker-registry with TLS", { skip }, () => {
  const registry = withRegistry({ tls: true, auth: "basic" });

  it("is trusted once its certificate is in certs.d", async () => {
    await registry().push(`oci:${layout}:v1`, "team/tls:v1");
    const { host, username, password, caPath } = registry();
    const pull = () =>
      lab.pull(`${host}/team/tls:v1`, { credentials: new Map([[host, { username, password }]]) });
    await assert.rejects(pull(), { reason: "tls-error" });
    const directory = join(lab.configRoot, "certs.d", host);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "hosts.toml"), `ca = "${caPath}"`);
    assert.equal((await pull()).id, image.config.digest);
  });
});
