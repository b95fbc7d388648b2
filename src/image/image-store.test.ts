import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, OTHER_RELEASE, UNREADABLE } from "../../test/fixtures/damage.js";
import { type FakeRegistry, startFakeRegistry } from "../../test/fixtures/registry/fake-registry.js";
import { openStoreLab, type StoreLab } from "../../test/fixtures/registry/store-lab.js";
import { sha256, type TinyImage, tarOf, tinyImage } from "../../test/fixtures/registry/tiny-image.js";
import type { StoredImage } from "./types.js";

let registry: FakeRegistry;
let lab: StoreLab;
let shared: Buffer;
let one: TinyImage;
let two: TinyImage;
const hosted = (name: string) => `${registry.host}/${name}`;

/** Two images that share a layer. */
beforeEach(async () => {
  registry = await startFakeRegistry();
  lab = await openStoreLab();
  shared = tarOf({ shared: randomBytes(20_000) });
  one = tinyImage({ tars: [shared, tarOf({ one: "1" })], config: { created: "2024-01-01T00:00:00Z" } });
  two = tinyImage({ tars: [shared, tarOf({ two: "2" })], config: { created: "2025-01-01T00:00:00Z" } });
  registry.addImage("one", "v1", one);
  registry.addImage("two", "v1", two);
  await lab.pull(hosted("one:v1"));
  await lab.pull(hosted("two:v1"));
});
afterEach(async () => {
  await registry.close();
  await lab[Symbol.asyncDispose]();
});

const blobNames = (...images: TinyImage[]) =>
  [
    ...new Set(
      images.flatMap(({ manifest, config, layers }) => [manifest, config, ...layers]).map((b) => b.digest),
    ),
  ]
    .map((digest) => `blobs/sha256/${digest.slice(7)}`)
    .sort();
const blobsThere = async () => (await lab.files()).filter((name) => name.startsWith("blobs/"));

describe("the store's list", () => {
  it("has the newest image first", () => {
    assert.deepEqual(
      lab.store.list().map(({ id }) => id),
      [two.config.digest, one.config.digest],
    );
  });
  it("is the same after a restart", async () => {
    const before = lab.store.list();
    assert.deepEqual((await lab.restart()).list(), before);
  });
});

describe("tag", () => {
  it("gives an image another name", async () => {
    await lab.store.tag(hosted("one:v1"), "mine");
    assert.equal(lab.store.find("mine:latest")?.id, one.config.digest);
  });
  it("takes the name from the image that had it", async () => {
    await lab.store.tag(hosted("one:v1"), hosted("two:v1"));
    assert.equal(lab.store.find(hosted("two:v1"))?.id, one.config.digest);
    assert.deepEqual(lab.store.find(two.config.digest)?.names, []);
  });
  it("refuses a digest as a name", async () => {
    await assert.rejects(lab.store.tag(hosted("one:v1"), `x@${sha256("x")}`), {
      reason: "invalid-reference",
    });
  });
  it("says that there is no such image", async () => {
    await assert.rejects(lab.store.tag("none", "x"), {
      reason: "image-not-found",
      message: "no such image: none",
    });
  });
});

describe("remove", () => {
  it("deletes with the last name, and only the blobs that no other image uses", async () => {
    const removed = await lab.store.remove(hosted("one:v1"));
    assert.deepEqual(removed, {
      untagged: [hosted("one:v1"), hosted(`one@${one.manifest.digest}`)],
      deleted: [one.config.digest],
    });
    assert.deepEqual(await blobsThere(), blobNames(two));
  });
  it("only untags while another name is left", async () => {
    await lab.store.tag(hosted("one:v1"), "mine");
    assert.deepEqual((await lab.store.remove("mine")).deleted, []);
    assert.deepEqual(await blobsThere(), blobNames(one, two));
  });
  it("takes all names by id", async () => {
    await lab.store.tag(hosted("one:v1"), "mine");
    const { untagged, deleted } = await lab.store.remove(one.config.digest.slice(7, 19));
    assert.deepEqual([untagged.length, deleted], [3, [one.config.digest]]);
  });
  it("asks before an image is gone for good, and only then", async () => {
    await lab.store.tag(hosted("one:v1"), "mine");
    const asked: string[][] = [];
    const refuse = ({ names }: StoredImage) => asked.push([...names]) === 0;
    await lab.store.remove("mine", refuse);
    assert.deepEqual(asked, []);
    assert.deepEqual(await lab.store.remove(hosted("one:v1"), refuse), { untagged: [], deleted: [] });
    const inUse = () => {
      throw new Error("in use");
    };
    await assert.rejects(lab.store.remove(one.config.digest, inUse), /in use/);
    assert.deepEqual(asked, [[hosted("one:v1")]]);
    assert.deepEqual(lab.store.find(one.config.digest)?.names, [hosted("one:v1")]);
    assert.deepEqual(await blobsThere(), blobNames(one, two));
  });
  it("lets one of two removals at the same time win", async () => {
    const results = await Promise.allSettled([
      lab.store.remove(hosted("one:v1")),
      lab.store.remove(hosted("one:v1")),
    ]);
    assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  });
  it("leaves nothing when the last image goes", async () => {
    await lab.store.remove(one.config.digest);
    await lab.store.remove(two.config.digest);
    assert.deepEqual(await lab.files(), []);
    assert.deepEqual(await lab.store.usage(), { blobs: 0, bytes: 0, ingestBytes: 0 });
  });
});

describe("collectGarbage", () => {
  it("takes nothing from pulls that run beside it", async () => {
    const images = Array.from({ length: 6 }, () =>
      tinyImage({ tars: [shared, tarOf({ x: randomBytes(3000) })] }),
    );
    for (const [n, image] of images.entries()) registry.addImage(`many${n}`, "v1", image);
    let pulling = true;
    const pulls = Promise.all(images.map((_, n) => lab.pull(hosted(`many${n}:v1`)))).finally(() => {
      pulling = false;
    });
    while (pulling) {
      await lab.store.collectGarbage();
      await lab.store.remove(hosted("one:v1")).catch(() => undefined);
    }
    await pulls;
    assert.deepEqual(await blobsThere(), blobNames(two, ...images));
    assert.equal((await lab.restart()).list().length, 7);
  });
});

describe("usage", () => {
  it("counts shared blobs once", async () => {
    const sizes = new Map(
      [one, two].flatMap(({ manifest, config, layers }) =>
        [manifest, config, ...layers].map(({ digest, bytes }) => [digest, bytes.length] as const),
      ),
    );
    const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    assert.deepEqual(await lab.store.usage(), { blobs: sizes.size, bytes, ingestBytes: 0 });
  });
});

describe("blobs", () => {
  it("are found as files", async () => {
    const digest = one.layers[0]?.digest ?? "";
    assert.equal(sha256(await readFile(lab.store.blobPath(digest))), digest);
  });
  it("are reported where they are not there", () => {
    assert.throws(() => lab.store.blobPath(sha256("none")), { reason: "blob-not-found" });
  });
});

describe("opening after a kill", () => {
  const place = (name: string) => join(lab.dataRoot, name);

  it("removes files in the making, blobs without an image and records without an entry", async () => {
    const before = await lab.files();
    await writeFile(place("ingest/archive.tmp-1-2"), "half");
    await writeFile(place(`ingest/${sha256("x").slice(7)}.part`), "half");
    await writeFile(place(`images/${"a".repeat(64)}.json.tmp-1`), "half");
    await writeFile(place(`blobs/sha256/${sha256("x").slice(7)}.tmp-1`), "half");
    await writeFile(place(`blobs/sha256/${sha256("y").slice(7)}`), "y");
    const record = JSON.parse(await readFile(place(`images/${one.config.digest.slice(7)}.json`), "utf8"));
    const other = { ...record, id: sha256("other") };
    await writeFile(place(`images/${other.id.slice(7)}.json`), JSON.stringify(other));
    await lab.restart();
    assert.deepEqual(await lab.files(), before);
  });
  it("forgets an image that lacks a blob, and keeps the others", async () => {
    await rm(lab.store.blobPath(one.layers[1]?.digest ?? ""));
    const store = await lab.restart();
    assert.deepEqual(
      store.list().map(({ id }) => id),
      [two.config.digest],
    );
    assert.deepEqual(await blobsThere(), blobNames(two));
  });
  it("forgets an image whose layer was cut short", async () => {
    await writeFile(lab.store.blobPath(one.layers[1]?.digest ?? ""), "short");
    assert.equal((await lab.restart()).find(one.config.digest), undefined);
  });
  it("keeps all images with their names, whatever becomes of one file", async () => {
    const before = lab.store.list();
    for (const file of ["names.json", `images/${one.config.digest.slice(7)}.json`]) {
      for (const damage of [...UNREADABLE, ...OTHER_RELEASE]) {
        await damageFile(place(file), damage);
        assert.deepEqual(
          (await lab.restart()).list().map(({ id, names }) => [id, names]),
          before.map(({ id, names }) => [id, names]),
          `${file}: ${damage.what}`,
        );
      }
    }
  });
  it("keeps all images where the list of names and its copy are damaged: they only lose their names", async () => {
    for (const file of ["names.json", "names.json.bak"]) await writeFile(place(file), '{"images": {"sha');
    const store = await lab.restart();
    assert.equal(store.list().length, 2);
    assert.deepEqual(store.list()[0]?.names, []);
    assert.deepEqual((await lab.restart()).list(), store.list());
  });
  it("takes names, pulls and images with directories in the place of its files, and keeps those", async () => {
    const record = `images/${two.config.digest.slice(7)}.json`;
    const inTheWay = ["names.json", "names.json.bak", record, "ingest/pull-x.json"];
    for (const file of inTheWay) {
      await rm(place(file), { force: true });
      await mkdir(place(`${file}/kept`), { recursive: true });
    }
    const store = await lab.restart();
    await store.tag(one.config.digest, "local/other:v1");
    await store.remove("local/other:v1");
    assert.deepEqual((await lab.restart()).list(), store.list());
    for (const file of inTheWay) {
      const parent = dirname(place(file));
      const found = await readdir(parent, { recursive: true });
      const aside = found.filter(
        (name) => name.startsWith(`${basename(file)}.damaged`) && name.endsWith("/kept"),
      );
      assert.equal(aside.length, 1, `${file}: ${found.join()}`);
    }
  });
  it("keeps what another release has put into the list of names", async () => {
    const [unknown] = OTHER_RELEASE;
    assert.ok(unknown);
    await damageFile(place("names.json"), unknown);
    const store = await lab.restart();
    await store.tag(one.config.digest, "local/other:v1");
    const list = JSON.parse(await readFile(place("names.json"), "utf8"));
    assert.equal(list.ofTomorrow, "kept");
    assert.equal(list.images[one.config.digest].ofTomorrow, "kept");
  });
  it("forgets an image whose record and copy are damaged", async () => {
    await damageFile(
      place(`images/${one.config.digest.slice(7)}.json`),
      { what: "no record", change: () => "{}" },
      true,
    );
    assert.deepEqual(
      (await lab.restart()).list().map(({ id }) => id),
      [two.config.digest],
    );
  });
});
