import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { Code } from "@connectrpc/connect";
import { CriCase } from "../../test/fixtures/cri-case.js";
import { collect, failsWith } from "../../test/fixtures/fake-api.js";
import { configOf } from "../../test/fixtures/fake-rooms.js";
import { sendError } from "../../test/fixtures/registry/fake-registry.js";
import { sha256, type TinyImage, tinyImage, writeLayout } from "../../test/fixtures/registry/tiny-image.js";

const PAUSE = "registry.k8s.io/pause:3.9";
const OTHER = "k8s.gcr.io/pause:3.9";

let cri: CriCase;
let pause: TinyImage;
beforeEach(async () => {
  cri = await CriCase.open();
  pause = tinyImage({ run: { User: "65535:65535", Entrypoint: ["/pause"] } });
  cri.registry.addImage("pause", "3.9", pause);
});
afterEach(() => cri.close());

describe("an image that was pulled", () => {
  it("has one id, by tag, digest, id and a piece of the id", async () => {
    const id = await cri.pull(PAUSE);
    const status = await cri.status(PAUSE);
    assert.equal(id, pause.config.digest);
    assert.equal(status?.id, id);
    assert.deepEqual(status?.repoTags, [PAUSE]);
    assert.deepEqual(status?.repoDigests, [`registry.k8s.io/pause@${pause.manifest.digest}`]);
    assert.ok((status?.size ?? 0n) > 0n);
    assert.equal(status?.uid?.value, 65_535n);
    assert.equal(status?.spec?.image, id);
    const hex = id.slice("sha256:".length);
    for (const key of [...status.repoTags, ...status.repoDigests, id, hex, hex.slice(0, 13)]) {
      assert.deepEqual(await cri.status(key), status, key);
    }
    assert.deepEqual((await cri.images.listImages({})).images, [status]);
  });

  it("has the tag latest where none is said", async () => {
    cri.registry.addImage("one", "latest", tinyImage());
    await cri.pull("registry.k8s.io/one");
    assert.deepEqual((await cri.status("registry.k8s.io/one"))?.repoTags, ["registry.k8s.io/one:latest"]);
  });

  it("by its digest has no tag", async () => {
    const name = `registry.k8s.io/pause@${pause.manifest.digest}`;
    await cri.pull(name);
    const status = await cri.status(name);
    assert.deepEqual([status?.repoTags, status?.repoDigests], [[], [name]]);
  });

  it("by a tag and a digest is found by both, and by that digest without the tag", async () => {
    const name = `registry.k8s.io/pause:3.9@${pause.manifest.digest}`;
    const id = await cri.pull(name);
    assert.equal((await cri.status(name))?.id, id);
    assert.equal((await cri.status(name.replace(":3.9", "")))?.id, id);
  });

  it("goes with all of its names by one of them, whichever registries they are of", async () => {
    const id = await cri.pull(PAUSE);
    assert.equal(await cri.pull(OTHER), id);
    assert.deepEqual((await cri.status(id))?.repoTags.toSorted(), [OTHER, PAUSE]);
    await cri.images.removeImage({ image: { image: PAUSE } });
    for (const key of [PAUSE, OTHER, id]) assert.equal(await cri.status(key), undefined, key);
    assert.deepEqual((await cri.images.listImages({})).images, []);
  });

  it("goes once where many remove it at a time, and for each of them", async () => {
    const id = await cri.pull(PAUSE);
    const remove = async () => {
      await cri.images.removeImage({ image: { image: id } });
      assert.equal(await cri.status(id), undefined);
    };
    await Promise.all([remove(), remove(), remove(), remove(), remove()]);
    await remove();
  });

  it("tells verbosely what its configuration says", async () => {
    await cri.pull(PAUSE);
    const { info } = await cri.images.imageStatus({ image: { image: PAUSE }, verbose: true });
    assert.equal(JSON.parse(info.info ?? "").imageSpec.config.User, "65535:65535");
  });

  it("is pinned while a VM of kiln's is made from it, and not removed from under it", async () => {
    const id = await cri.pull(PAUSE);
    const vm = await cri.engine.make({ config: configOf({ image: PAUSE }), pull: "never" });
    assert.equal((await cri.status(id))?.pinned, true);
    const removing = cri.images.removeImage({ image: { image: PAUSE } });
    await assert.rejects(removing, failsWith(Code.FailedPrecondition, "image-in-use"));
    await cri.engine.vms.remove(vm.id, true);
    assert.equal((await cri.status(id))?.pinned, false);
    await cri.images.removeImage({ image: { image: PAUSE } });
  });
});

describe("lists", () => {
  it("are filtered by any name of an image", async () => {
    const id = await cri.pull(PAUSE);
    cri.registry.addImage("other", "1", tinyImage());
    await cri.pull("registry.k8s.io/other:1");
    const ids = async (image: string) =>
      (await cri.images.listImages({ filter: { image: { image } } })).images.map((found) => found.id);
    assert.deepEqual([await ids(id), await ids(PAUSE), await ids("registry.k8s.io/none")], [[id], [id], []]);
    assert.equal((await ids("")).length, 2);
  });

  it("come in parts, each image once", async () => {
    await cri.pull(PAUSE);
    const [one] = cri.engine.images.list();
    assert.ok(one);
    const many = Array.from({ length: 101 }, (_, n) => ({ ...one, id: sha256(`${n}`) }));
    mock.method(cri.engine.images, "list", () => many);
    const parts = await collect(cri.images.streamImages({}));
    assert.deepEqual(
      parts.map(({ images }) => images.length),
      [100, 1],
    );
    assert.equal(new Set(parts.flatMap(({ images }) => images.map(({ id }) => id))).size, 101);
  });
});

describe("what is not here", () => {
  it("has no status, which is no error, and is removed already", async () => {
    for (const image of [PAUSE, sha256("none"), "0".repeat(64), "0".repeat(13)]) {
      assert.equal(await cri.status(image), undefined, image);
      await cri.images.removeImage({ image: { image } });
    }
  });

  it("is not taken for an image whose id begins like its name", async () => {
    const id = await cri.pull(PAUSE);
    assert.equal(await cri.status(id.slice("sha256:".length, -60)), undefined);
  });

  it("is refused where it is no name", async () => {
    const wrong = failsWith(Code.InvalidArgument, "invalid-reference");
    await assert.rejects(cri.status("Not A Name"), wrong);
    await assert.rejects(cri.pull("registry.k8s.io/UPPER"), wrong);
    await assert.rejects(cri.status(""), failsWith(Code.InvalidArgument, "no-image"));
    await assert.rejects(cri.images.pullImage({}), failsWith(Code.InvalidArgument, "no-image"));
  });
});

describe("a pull", () => {
  it("reads nothing of the host's, whatever the name", async () => {
    const directory = `${cri.lab.directory}/layout`;
    await writeLayout(directory, [{ image: tinyImage(), tag: "a" }]);
    for (const name of [`oci:${directory}`, `oci:${directory}:a`, `oci-archive:${directory}/x.tar`]) {
      await assert.rejects(cri.pull(name), failsWith(Code.InvalidArgument, "invalid-reference"), name);
      await assert.rejects(cri.status(name), failsWith(Code.InvalidArgument, "invalid-reference"), name);
    }
    assert.deepEqual(cri.engine.images.list(), []);
  });

  it("does not find by a plain name what a layout has brought", async () => {
    const directory = `${cri.lab.directory}/layout`;
    await writeLayout(directory, [{ image: tinyImage(), tag: "mine" }]);
    const { pulledAs } = await cri.engine.images.pull(`oci:${directory}`, {});
    assert.equal((await cri.status(pulledAs))?.repoTags[0], pulledAs);
    assert.ok(pulledAs.startsWith("localhost/"), pulledAs);
    assert.equal(await cri.status(pulledAs.slice("localhost/".length)), undefined);
  });

  it("ends with the caller's time", async () => {
    cri.registry.intercept = () => true;
    const pulling = cri.images.pullImage({ image: { image: PAUSE } }, { timeoutMs: 50 });
    await assert.rejects(pulling, (error) => (error as { code?: number }).code === Code.DeadlineExceeded);
    assert.equal(await cri.status(PAUSE), undefined);
  });

  it("says what the registry does not have, with the hint in the message", async () => {
    const pulling = cri.pull("registry.k8s.io/none:1");
    await assert.rejects(pulling, failsWith(Code.NotFound, "image-not-found"));
    await assert.rejects(pulling, /registry\.k8s\.io\/none:1.*\(.+\)$/);
  });

  it("shows the credentials that it brings to their registry, and never those of kilnd's own files", async () => {
    const basic = `Basic ${Buffer.from("me:SECRET").toString("base64")}`;
    cri.lab.env.REGISTRY_AUTH_FILE = "/nowhere/at/all.json";
    cri.registry.intercept = (request, response) => {
      if (request.headers.authorization === basic) return false;
      response.setHeader("www-authenticate", 'Basic realm="x"');
      sendError(response, 401, "UNAUTHORIZED", "authentication required");
      return true;
    };
    const image = { image: `${cri.registry.host}/pause:3.9` };
    const refused = failsWith(Code.Unauthenticated, "unauthorized");
    await assert.rejects(cri.images.pullImage({ image }), refused);
    const auth = { username: "me", password: "SECRET" };
    const elsewhere = { ...auth, serverAddress: "https://other.example" };
    await assert.rejects(cri.images.pullImage({ image, auth: elsewhere }), refused);
    const { imageRef } = await cri.images.pullImage({ image, auth });
    assert.equal(imageRef, pause.config.digest);
  });
});

it("the file system of images is told with what is on it", async () => {
  const before = (await cri.images.imageFsInfo({})).imageFilesystems[0];
  await cri.pull(PAUSE);
  const after = (await cri.images.imageFsInfo({})).imageFilesystems[0];
  assert.equal(after?.fsId?.mountpoint, "/data");
  assert.equal(before?.usedBytes?.value, 0n);
  assert.ok((after?.usedBytes?.value ?? 0n) > 0n);
  assert.equal(after?.inodesUsed?.value, 3n);
  assert.ok((after?.timestamp ?? 0n) > 1_700_000_000n * 1_000_000_000n);
});
