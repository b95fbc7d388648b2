import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  type FakeRegistry,
  sendError,
  startFakeRegistry,
} from "../../../test/fixtures/registry/fake-registry.js";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import { type TinyImage, tinyImage } from "../../../test/fixtures/registry/tiny-image.js";

// "registry.example" is nowhere: whatever is pulled from it comes from a mirror or from the server that stands in for it.
const NAME = "registry.example/team/app:v1";

let origin: FakeRegistry;
let mirror: FakeRegistry;
let lab: StoreLab;
let image: TinyImage;
beforeEach(async () => {
  origin = await startFakeRegistry();
  mirror = await startFakeRegistry();
  lab = await openStoreLab();
  image = tinyImage();
});
afterEach(async () => {
  await origin.close();
  await mirror.close();
  await lab[Symbol.asyncDispose]();
});

async function configure(host: string, more = ""): Promise<void> {
  const directory = join(lab.configRoot, "certs.d", "registry.example");
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "hosts.toml"), `server = "${origin.origin}"\n[host."${host}"]\n${more}`);
}

describe("mirrors", () => {
  it("serve everything without the registry being asked", async () => {
    mirror.addImage("team/app", "v1", image);
    await configure(mirror.origin);
    const stored = await lab.pull(NAME);
    assert.deepEqual(stored.names, [NAME]);
    assert.equal(origin.requests.length, 0);
    assert.ok(mirror.requests.every(({ path }) => path.endsWith("?ns=registry.example")));
  });
  it("are passed over for tags where they may only be pulled from", async () => {
    origin.addImage("team/app", "v1", image);
    mirror.addImage("team/app", "v1", image);
    await configure(mirror.origin, 'capabilities = ["pull"]');
    await lab.pull(NAME);
    assert.equal(origin.asked("/manifests/").length, 1);
    assert.equal(origin.asked("/blobs/").length, 0);
    assert.equal(mirror.asked("/blobs/").length, 2);
  });
  it("hand over to the registry for what they don't have", async () => {
    origin.addImage("team/app", "v1", image);
    await configure(mirror.origin);
    assert.equal((await lab.pull(NAME)).id, image.config.digest);
    assert.equal(mirror.asked("/manifests/v1").length, 1);
  });
  it("hand over to the registry when they are down", async () => {
    origin.addImage("team/app", "v1", image);
    await configure(mirror.origin);
    await mirror.close();
    assert.equal((await lab.pull(NAME)).id, image.config.digest);
  });
  it("serve the images of a registry on this machine that does not run", async () => {
    mirror.addImage("a", "v1", image);
    await origin.close();
    const directory = join(lab.configRoot, "certs.d", origin.host);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "hosts.toml"), `[host."${mirror.origin}"]`);
    assert.equal((await lab.pull(`${origin.host}/a:v1`)).id, image.config.digest);
  });
  it("hand over to the registry in the middle of a pull", async () => {
    origin.addImage("team/app", "v1", image);
    mirror.addImage("team/app", "v1", image);
    mirror.intercept = (request, response) => {
      if (!request.url?.includes("/blobs/")) return false;
      sendError(response, 500, "UNKNOWN", "oops");
      return true;
    };
    await configure(mirror.origin);
    assert.equal((await lab.pull(NAME)).id, image.config.digest);
    assert.equal(origin.asked("/blobs/").length, 2);
  });
  it("can't slip other content in: the registry's copy is taken", async () => {
    origin.addImage("team/app", "v1", image);
    mirror.addImage("team/app", "v1", image);
    const layer = image.layers[0];
    assert.ok(layer);
    mirror.addBlob({ ...layer, bytes: Buffer.alloc(layer.bytes.length, "x") });
    await configure(mirror.origin);
    assert.equal((await lab.pull(NAME)).id, image.config.digest);
    assert.equal(origin.asked(layer.digest).length, 1);
  });
  it("get their own credentials and headers, never the registry's", async () => {
    mirror.addImage("team/app", "v1", image);
    mirror.intercept = (request, response) => {
      if (request.headers.authorization !== undefined) return false;
      response.setHeader("www-authenticate", 'Basic realm="x"');
      sendError(response, 401, "UNAUTHORIZED", "log in");
      return true;
    };
    await configure(mirror.origin, `[host."${mirror.origin}".header]\nx-mirror = "yes"`);
    const credentials = new Map([
      ["registry.example", { username: "registry", password: "pw" }],
      [mirror.host, { username: "mirror", password: "pw" }],
    ]);
    await lab.pull(NAME, { credentials });
    const sent = new Set(mirror.requests.map(({ headers }) => headers.authorization));
    assert.deepEqual([...sent], [undefined, `Basic ${Buffer.from("mirror:pw").toString("base64")}`]);
    assert.ok(mirror.requests.every(({ headers }) => headers["x-mirror"] === "yes"));
  });
  it("leave the registry's own error to be reported", async () => {
    await configure(mirror.origin);
    await assert.rejects(lab.pull(NAME), {
      reason: "image-not-found",
      message: new RegExp(`asked ${origin.host}`),
    });
  });
  it("work from another path of their host", async () => {
    mirror.addImage("proxy/team/app", "v1", image);
    await configure(`${mirror.origin}/v2/proxy`, "override_path = true");
    assert.equal((await lab.pull(NAME)).id, image.config.digest);
  });
});
