import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import { tarOf, tinyImage, writeLayout } from "../../../test/fixtures/registry/tiny-image.js";
import { hasReason } from "../../base/errors.js";
import type { StoredImage } from "../types.js";
import { planIndex } from "./save.js";

let lab: StoreLab;
let image: StoredImage;
beforeEach(async () => {
  lab = await openStoreLab();
  const layout = join(lab.directory, "layout");
  const same = tarOf({ same: "twice" });
  const tiny = tinyImage({ tars: [tarOf({ a: randomBytes(300_000) }), same, same] });
  await writeLayout(layout, [{ image: tiny, tag: "v1" }]);
  await lab.pull(`oci:${layout}:v1`);
  await lab.store.tag("localhost/layout:v1", "team/app:1");
  const found = lab.store.find("team/app:1");
  assert.ok(found);
  image = found;
});
afterEach(() => lab[Symbol.asyncDispose]());

async function save(...keys: string[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of lab.store.save(keys, {})) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The archive in an empty store. */
async function pullBack(archive: Buffer, source: string): Promise<StoredImage> {
  const file = join(lab.directory, "saved.tar");
  await writeFile(file, archive);
  await lab.store.remove(image.id);
  return await lab.pull(source.replace("FILE", file));
}

describe("a saved image", () => {
  it("comes back from the tar as the same image, under its name", async () => {
    const again = await pullBack(await save("team/app:1"), "oci-archive:FILE");
    assert.equal(again.id, image.id);
    assert.equal(again.manifestDigest, image.manifestDigest);
    assert.deepEqual(again.names, ["docker.io/team/app:1"]);
  });

  it("comes back from what docker would read of it", async () => {
    const again = await pullBack(await save("team/app:1"), "docker-archive:FILE:team/app:1");
    assert.equal(again.id, image.id);
  });

  it("gives the same bytes each time", async () => {
    assert.ok((await save("team/app:1")).equals(await save("team/app:1")));
  });

  it("asked for twice is in it once, with both names", async () => {
    const both = await save("team/app:1", "localhost/layout:v1");
    const one = await save("team/app:1");
    assert.ok(both.length < one.length + 10_000);
    assert.equal((await pullBack(both, "oci-archive:FILE:v1")).id, image.id);
  });

  it("that is not there is refused before the first byte", async () => {
    await assert.rejects(save("team/app:1", "team/app:2"), (error) => hasReason(error, "image-not-found"));
  });

  it("stays whole where it is removed meanwhile", async () => {
    const tar = lab.store.save(["team/app:1"], {});
    const chunks = [(await tar.next()).value as Uint8Array];
    await lab.store.remove(image.id);
    for await (const chunk of tar) chunks.push(chunk);
    const file = join(lab.directory, "saved.tar");
    await writeFile(file, Buffer.concat(chunks));
    assert.equal((await lab.pull(`oci-archive:${file}`)).id, image.id);
  });

  it("leaves nothing leased where the reader stops", async () => {
    for await (const _chunk of lab.store.save(["team/app:1"], {})) break;
    await lab.store.remove(image.id);
    assert.equal((await lab.store.usage()).blobs, 0);
  });
});

describe("the documents of an archive", () => {
  it("name an image by its full name and its tag, docker's by the short one", () => {
    const saved = [{ image, names: ["docker.io/team/app:1"], size: 5, mediaType: "m" }];
    const [index, docker] = planIndex(saved).map(({ text }) => JSON.parse(text) as Record<string, unknown>);
    const [entry] = (index?.manifests ?? []) as { annotations: unknown; digest: string }[];
    assert.equal(entry?.digest, image.manifestDigest);
    assert.deepEqual(entry?.annotations, {
      "io.containerd.image.name": "docker.io/team/app:1",
      "org.opencontainers.image.ref.name": "1",
    });
    assert.deepEqual((docker as unknown as { RepoTags: string[] }[])[0]?.RepoTags, ["team/app:1"]);
  });

  it("list an image without a name by its digest alone", () => {
    const [index] = planIndex([{ image, names: [], size: 5, mediaType: "m" }]);
    const { manifests } = JSON.parse(index?.text ?? "") as { manifests: object[] };
    assert.equal(manifests.length, 1);
    assert.ok(!("annotations" in (manifests[0] ?? {})));
  });
});
