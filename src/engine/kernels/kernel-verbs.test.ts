import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { worldCase } from "../../../test/fixtures/engine-case.js";
import { createFakeRooms } from "../../../test/fixtures/fake-rooms.js";
import { writeImage } from "../../../test/fixtures/images/image-layout.js";
import { archive, type TarSpec } from "../../../test/fixtures/images/tar-writer.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { hasReason } from "../../base/errors.js";
import { mergeLayers, type StoredImage } from "../../image/index.js";
import type { Rooms } from "../common/rooms.js";

let imported: Map<string, string>;
const kilnd = worldCase();
beforeEach(() => {
  imported = new Map();
});

/** An engine whose only image has these layers, and whose catalogue notes the tree that it is given. */
async function engineWith(...layers: TarSpec[][]): Promise<OpenEngine> {
  const written = await writeImage(join(kilnd.world.root, "layout"), {
    layers: layers.map((members) => ({ tar: archive(members) })),
  });
  kilnd.world.image = { ...kilnd.world.image, layers: written.layers } satisfies StoredImage;
  const fake = createFakeRooms(kilnd.world);
  const rooms: Rooms = {
    ...fake,
    mergeLayers,
    images: {
      ...fake.images,
      blobPath: (digest) => written.layers.find((layer) => layer.digest === digest)?.path ?? "",
    },
    kernels: {
      ...fake.kernels,
      importTree: async (root) => {
        for (const name of await readdir(root, { recursive: true })) {
          const text = await readFile(join(root, name), "latin1").catch(() => "(directory)");
          imported.set(name, text);
        }
        return fake.kernels.find("debian");
      },
    },
  };
  await kilnd.open({}, rooms);
  return kilnd.engine;
}

const file = (path: string, data: string): TarSpec => ({ path, data });
const link = (path: string, linkTarget: string): TarSpec => ({ path, type: "symlink", linkTarget });
const IMPORT = { source: "app", makeDefault: false };

describe("a kernel from an image", () => {
  it("is what lies below /boot/vmlinux and /lib/modules, links followed, later layers first", async () => {
    const kiln = await engineWith(
      [
        file("usr/lib/modules/6.1/a.ko", "old"),
        file("usr/lib/modules/6.1/b.ko", "b"),
        link("lib", "usr/lib"),
        file("etc/passwd", "x"),
      ],
      [
        file("boot/vmlinux-6.1", "kernel"),
        link("boot/vmlinux", "vmlinux-6.1"),
        file("lib/modules/6.1/a.ko", "new"),
      ],
    );
    await kiln.kernels.import(IMPORT, {});
    assert.deepEqual(Object.fromEntries(imported), {
      boot: "(directory)",
      "boot/vmlinux": "kernel",
      lib: "(directory)",
      "lib/modules": "(directory)",
      "lib/modules/6.1": "(directory)",
      "lib/modules/6.1/a.ko": "new",
      "lib/modules/6.1/b.ko": "b",
    });
  });

  it("must be there", async () => {
    const kiln = await engineWith([file("etc/passwd", "x")]);
    await assert.rejects(kiln.kernels.import(IMPORT, {}), (error) => hasReason(error, "no-kernel-in-image"));
  });

  it("leaves no scratch files, whether it succeeds or fails", async () => {
    const kiln = await engineWith([file("etc/passwd", "x")]);
    const before = await readdir(join(kilnd.world.root, "data"));
    await assert.rejects(kiln.kernels.import(IMPORT, {}));
    assert.deepEqual(await readdir(join(kilnd.world.root, "data")), before);
  });
});

describe("kernel import", () => {
  it("names a file that is not there", async () => {
    const kiln = await engineWith([]);
    const spec = { source: "/nowhere/vmlinux", makeDefault: false };
    await assert.rejects(kiln.kernels.import(spec, {}), (error) => hasReason(error, "no-such-file"));
  });
});
