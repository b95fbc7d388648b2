// kill -9 at each named point of a pull and of a removal, and between the two copies of each file that they write.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { killedAt } from "../../../test/fixtures/killed-at.js";
import { type FakeRegistry, startFakeRegistry } from "../../../test/fixtures/registry/fake-registry.js";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import { sha256, type TinyImage, tarOf, tinyImage } from "../../../test/fixtures/registry/tiny-image.js";
import type { Failpoint } from "../../base/failpoint.js";

const LAYERS = [tarOf({ a: "1" }), tarOf({ b: "2" })];
/** That are downloaded: the manifest is no such. */
const BLOBS = LAYERS.length + 1;
const PER_BLOB: readonly Failpoint[] = ["image.downloaded", "image.stored"];
/** The image is there from the first copy of its names on, which are written second. */
const NAMES_WRITE = 2;

let registry: FakeRegistry;
let lab: StoreLab;
let image: TinyImage;
let name: string;
beforeEach(async () => {
  registry = await startFakeRegistry();
  lab = await openStoreLab();
  image = tinyImage({ tars: LAYERS });
  registry.addImage("app", "v1", image);
  name = `${registry.host}/app:v1`;
});
afterEach(async () => {
  await registry.close();
  await lab[Symbol.asyncDispose]();
});

const hex = (digest: string) => digest.slice("sha256:".length);
const pulled = () => ({ dataRoot: lab.dataRoot, image: "pull", source: name }) as const;
const removed = () => ({ dataRoot: lab.dataRoot, image: "remove", key: name }) as const;

/** Blobs that bear their digests, which are all that are allowed to lie there. */
async function goodBlobs(): Promise<string[]> {
  const digests: string[] = [];
  for (const file of await lab.files()) {
    const found = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(file)?.[1];
    if (found === undefined) continue;
    assert.equal(sha256(await readFile(join(lab.dataRoot, file))), `sha256:${found}`);
    digests.push(`sha256:${found}`);
  }
  return digests;
}

/** Nothing but the image, whole. */
async function assertComplete(what: string): Promise<void> {
  const { config, manifest, layers } = image;
  const wanted = [config, manifest, ...layers].map(({ digest }) => `blobs/sha256/${hex(digest)}`);
  const record = `images/${hex(config.digest)}.json`;
  assert.deepEqual(await lab.files(), [...wanted, record, `${record}.bak`].sort(), what);
  assert.deepEqual(
    lab.store.list().map(({ id, names }) => [id, names]),
    [[config.digest, [name]]],
    what,
  );
  await goodBlobs();
}

async function assertRepaired(point: string, isThere: boolean): Promise<void> {
  const stored = await goodBlobs();
  await lab.restart();
  assert.equal(lab.store.list().length, isThere ? 1 : 0, point);
  if (isThere) await assertComplete(point);
  const before = registry.requests.length;
  await lab.pull(name);
  const asked = registry.requests.slice(before).filter(({ path }) => path.includes("/blobs/"));
  for (const digest of stored) {
    assert.ok(!asked.some(({ path }) => path.endsWith(digest)), `${point}: ${digest} is fetched again`);
  }
  await assertComplete(`${point}: pulled again`);
  await lab.restart();
  await assertComplete(`${point}: opened again`);
}

describe("a pull that is killed", () => {
  for (const point of ["image.noted", "image.fetched", "image.recorded", "image.named"] as const) {
    it(`at ${point} is repaired, and goes on`, async () => {
      assert.ok(await killedAt(point, pulled()), "the point is passed");
      await assertRepaired(point, point === "image.named");
    });
  }

  for (const point of PER_BLOB) {
    it(`at ${point} of each blob is repaired, and goes on`, async () => {
      for (let time = 1; time <= BLOBS; time++) {
        assert.ok(await killedAt(`${point}:${time}`, pulled()), `the point is passed for the ${time}th time`);
        await assertRepaired(`${point}:${time}`, false);
        await lab.store.remove(name);
        assert.deepEqual(await lab.files(), []);
      }
      assert.equal(await killedAt(`${point}:${BLOBS + 1}`, pulled()), false, "there is no other blob");
    });
  }

  it("between the copies of a file is repaired, and goes on", async () => {
    let time = 1;
    for (; await killedAt(`kept.first:${time}`, pulled()); time++) {
      await assertRepaired(`kept.first:${time}`, time >= NAMES_WRITE);
      await lab.store.remove(name);
    }
    assert.ok(time > NAMES_WRITE, `it has written ${time - 1} files with copies`);
  });

  it("leaves nothing that outlives the image's removal", async () => {
    assert.ok(await killedAt("image.named", pulled()));
    await lab.restart();
    await lab.store.remove(name);
    assert.deepEqual(await lab.files(), []);
  });

  it("by one name leaves nothing that outlives it where another pull brought the image", async () => {
    assert.ok(await killedAt("image.stored", pulled()));
    await lab.restart();
    const other = `${registry.host}/app@${image.manifest.digest}`;
    await lab.pull(other);
    await lab.pull(name);
    await lab.store.remove(image.config.digest);
    assert.deepEqual(await lab.files(), []);
  });
});

describe("a removal that is killed", () => {
  for (const point of ["image.unnamed", "kept.first"] as const) {
    it(`at ${point} is over, and leaves nothing`, async () => {
      await lab.pull(name);
      assert.ok(await killedAt(point, removed()), "the point is passed");
      await lab.restart();
      assert.deepEqual(lab.store.list(), []);
      assert.deepEqual(await lab.files(), []);
      await lab.pull(name);
      await assertComplete(point);
    });
  }
});
