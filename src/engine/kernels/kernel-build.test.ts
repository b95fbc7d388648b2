import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { worldCase } from "../../../test/fixtures/engine-case.js";
import { createFakeRooms } from "../../../test/fixtures/fake-rooms.js";
import { hasReason } from "../../base/errors.js";
import { createImageStore, type ImageStore, mergeLayers } from "../../image/index.js";
import type { BuiltKernel } from "../../kernel/index.js";
import type { OwnKernel } from "../../kernel/types.js";
import { planKernelImage } from "./kernel-image.js";

const SPEC = { version: "", architecture: "", cache: true, jobs: 0, name: "", makeDefault: false };
const OWN: OwnKernel = { source: "linux-source-6.1 6.1.192-2", configuration: "c".repeat(64) };
const BUILT: BuiltKernel = {
  version: 1,
  key: "a".repeat(64),
  architecture: "amd64",
  release: "6.1.192-kiln",
  source: { package: "linux-source-6.1", version: "6.1.192-2" },
  compiler: 'gcc "12" $HOME',
  linker: "ld",
  configuration: OWN.configuration,
  image: "b".repeat(64),
  config: "d".repeat(64),
  imageBytes: 6,
  epoch: 1_794_824_260,
  objects: 1,
  seconds: 1,
  tree: "/nowhere",
  cached: true,
};

let images: ImageStore;
let built: BuiltKernel;
let imported: { text: string; source: string | undefined; own: OwnKernel | undefined }[];

const kilnd = worldCase();

/** An engine with a real image store, whose builder has built `built` before. */
beforeEach(async () => {
  const tree = join(kilnd.world.root, "built");
  await mkdir(join(tree, "boot"), { recursive: true });
  await writeFile(join(tree, "boot/vmlinux"), "kernel");
  await writeFile(join(tree, "boot/config"), "CONFIG_A=y\n");
  built = { ...BUILT, tree };
  imported = [];
  images = createImageStore({
    dataRoot: join(kilnd.world.root, "images"),
    configRoot: kilnd.world.root,
    env: {},
  });
  const fake = createFakeRooms(kilnd.world);
  await kilnd.open(
    {},
    {
      ...fake,
      images,
      mergeLayers,
      kernelBuilder: { ...fake.kernelBuilder, build: async () => built },
      kernels: {
        ...fake.kernels,
        importTree: async (root, { source, own }) => {
          imported.push({ text: await readFile(join(root, "boot/vmlinux"), "utf8"), source, own });
          return fake.kernels.find("debian");
        },
      },
    },
  );
});

describe("kernel build", () => {
  it("makes an image in Ignite's form and imports it as any other", async () => {
    const { imageName, kernel, cached } = await kilnd.engine.kernels.build(SPEC, {});
    assert.equal(imageName, "localhost/kiln-kernel:6.1.192-amd64");
    assert.ok(kernel !== undefined && cached);
    assert.deepEqual(imported, [{ text: "kernel", source: imageName, own: OWN }]);
    await kilnd.engine.kernels.import({ source: imageName, makeDefault: false }, {});
    assert.deepEqual(imported[1], imported[0]);
  });

  it("labels the image with what the kernel is made of, and dates it as its sources", async () => {
    const { image } = await kilnd.engine.kernels.build(SPEC, {});
    const { labels } = image.run;
    assert.equal(labels["org.opencontainers.image.version"], "6.1.192");
    assert.equal(labels["dev.kiln.kernel.release"], "6.1.192-kiln");
    assert.equal(labels["dev.kiln.kernel.compiler"], BUILT.compiler);
    assert.equal(labels["dev.kiln.kernel.key"], BUILT.key);
    assert.equal(image.createdAt, "2026-11-16T10:17:40.000Z");
  });

  it("makes the same image of the same kernel", async () => {
    const first = await kilnd.engine.kernels.build(SPEC, {});
    await images.remove(first.image.id);
    assert.equal((await kilnd.engine.kernels.build(SPEC, {})).image.id, first.image.id);
  });

  it("for another architecture gives the image alone", async () => {
    built = { ...built, architecture: "arm64" };
    const { image, kernel } = await kilnd.engine.kernels.build({ ...SPEC, architecture: "arm64" }, {});
    assert.deepEqual(image.names, ["localhost/kiln-kernel:6.1.192-arm64"]);
    assert.equal(image.platform.architecture, "arm64");
    assert.equal(kernel, undefined);
    assert.deepEqual(imported, []);
  });

  it("refuses an architecture that kiln does not know", async () => {
    await assert.rejects(kilnd.engine.kernels.build({ ...SPEC, architecture: "mips" }, {}), (error) =>
      hasReason(error, "bad-architecture"),
    );
  });
});

describe("a kernel image's labels", () => {
  it("are believed only where they have the form that kiln gives them", async () => {
    for (const [line, own] of [
      ['LABEL dev.kiln.kernel.source="linux"', undefined],
      [`LABEL dev.kiln.kernel.source="linux" dev.kiln.kernel.configuration=${OWN.configuration}x`, undefined],
      [
        `LABEL dev.kiln.kernel.source="linux" dev.kiln.kernel.configuration=${OWN.configuration}`,
        { ...OWN, source: "linux" },
      ],
    ] as const) {
      const tar = await readFile(
        images.blobPath((await kilnd.engine.kernels.build(SPEC, {})).image.layers[0]?.digest ?? ""),
      );
      await images.importTar(inOne(tar), { name: "claims", changes: [line] });
      await kilnd.engine.kernels.import({ source: "claims", makeDefault: false }, {});
      assert.deepEqual(imported.at(-1)?.own, own);
    }
  });

  it("name Debian's revision nowhere in the image's tag", () => {
    const version = "6.1.192-2~bpo12+1";
    const { name } = planKernelImage({ ...BUILT, source: { package: "linux-source-6.1", version } });
    assert.equal(name, "localhost/kiln-kernel:6.1.192-amd64");
  });
});

async function* inOne(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
