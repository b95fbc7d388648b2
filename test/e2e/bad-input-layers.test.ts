// Layers that are damaged or mean harm: bombs, lies about what they hold, names that lead out of the root. Whatever is
// refused is refused before a VM exists and leaves nothing; what is taken stays inside the image's own root.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { busyboxMembers } from "../fixtures/busybox-image.js";
import { assertNothingLeft } from "../fixtures/hostile/leftovers.js";
import { assertRefused, literally } from "../fixtures/hostile/refusal.js";
import { archiveBytes, type TarSpec } from "../fixtures/images/tar-writer.js";
import {
  blob,
  manifestOf,
  OCI_LAYER,
  sha256,
  type TinyImage,
  type TinyImageOptions,
  tinyImage,
  writeLayout,
} from "../fixtures/registry/tiny-image.js";
import { TestKiln } from "./harness.js";

const MIB = 1024 * 1024;

let kiln: TestKiln;
let scratch = "";
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-layers-"));
  const limits = [
    "--layers-ratio-free=4m",
    "--layers-max-layer=16m",
    "--layers-max-image=20m",
    "--layers-max-entries=500",
  ];
  kiln = await TestKiln.start({ daemonArgs: limits });
});
after(async () => {
  await kiln.dispose();
  await rm(scratch, { recursive: true, force: true });
});

/** Writes the image as a layout of its own and names it. */
async function layoutOf(image: TinyImage): Promise<string> {
  const directory = await mkdtemp(join(scratch, "layout-"));
  await writeLayout(directory, [{ image, tag: "v1" }]);
  return `oci:${directory}:v1`;
}

/** An image of one layer per list. */
const imageOf = (layers: readonly (readonly TarSpec[])[], options: TinyImageOptions = {}) =>
  tinyImage({ tars: layers.map(archiveBytes), ...options });

/**
 * `run` fails on this image with "LAYER: WHY", and nothing is left.
 *
 * @param at what is being done then: layers are inflated by the pull, which verifies them, and merged by the build
 */
async function assertLayerRefused(
  image: TinyImage,
  why: string,
  hint: RegExp,
  at: "pull" | "build" = "build",
): Promise<void> {
  const digest = image.layers.at(-1)?.digest ?? "";
  const source = await layoutOf(image);
  const result = await kiln.kiln(["run", "--rm", source, "true"]);
  const doing =
    at === "pull" ? `pull ${literally(source)}` : "build the base of image localhost/layout-\\w+:v1";
  const message = new RegExp(`^${doing}: layer ${digest}: ${why}$`, "i");
  assertRefused(result, { message, hint });
  await assertNothingLeft(kiln);
}

describe("bombs", () => {
  it("of a few kilobytes that unpack to megabytes are refused by their ratio", async () => {
    const image = imageOf([[{ path: "zeros", data: Buffer.alloc(12 * MIB) }]]);
    const why = "uncompressed it is larger than 4MiB \\(200 times its compressed size\\)";
    await assertLayerRefused(image, why, /raise layers\.max-ratio/, "pull");
  });

  it("that are large without any compression are refused by their size", async () => {
    const image = imageOf([[{ path: "noise", data: randomBytes(16 * MIB) }]], { compress: false });
    await assertLayerRefused(image, "uncompressed it is larger than 16MiB", /raise layers\.max-layer/);
  });

  it("in several layers are refused by the size of all", async () => {
    const noise = () => [{ path: "noise", data: randomBytes(11 * MIB) }];
    const image = imageOf([noise(), noise()], { compress: false });
    await assertLayerRefused(
      image,
      "the image's layers are larger than 20MiB uncompressed",
      /raise layers\.max-image/,
    );
  });

  it("of countless files are refused by their number", async () => {
    const image = imageOf([Array.from({ length: 501 }, (_, n) => ({ path: `${n}`, data: "" }))]);
    await assertLayerRefused(image, "there are more than 500 entries", /raise layers\.max-entries/);
  });

  it("are refused when they are imported as a tar", async () => {
    const tar = join(scratch, "bomb.tar.gz");
    await writeFile(tar, gzipSync(archiveBytes([{ path: "zeros", data: Buffer.alloc(12 * MIB) }])));
    const result = await kiln.kiln(["image", "import", tar, "bomb:v1"]);
    const message = /^import bomb:v1: uncompressed the tar is larger than 4MiB$/;
    assertRefused(result, { code: 1, message, hint: /raise layers\.max-ratio/ });
    await assertNothingLeft(kiln);
  });
});

describe("names that lead out of the image's root", () => {
  it("are refused in an entry", async () => {
    const image = imageOf([[{ path: "../../etc/cron.d/evil", data: "x" }]]);
    await assertLayerRefused(
      image,
      `entry "\\.\\./\\.\\./etc/cron\\.d/evil" leads out of the image's root`,
      /don't use this image/,
    );
  });

  it("are refused in a hard link's target", async () => {
    const image = imageOf([[{ path: "shadow", type: "hardlink", linkTarget: "../../../etc/shadow" }]]);
    await assertLayerRefused(
      image,
      `hard link target "[./]+/etc/shadow" leads out of the image's root`,
      /don't use/,
    );
  });

  it("are refused in a tar that is imported", async () => {
    const tar = archiveBytes([{ path: "a/../../evil", data: "x" }]);
    const result = await kiln.kiln(["image", "import", "-", "evil:v1"], { stdin: tar });
    assertRefused(result, { code: 1, message: /^import evil:v1: entry "a\/\.\.\/\.\.\/evil" leads out of/ });
    await assertNothingLeft(kiln);
  });

  it("are taken as names inside it when they are absolute or go through links, and never touch the host", async () => {
    const outside = await mkdtemp(join(tmpdir(), "kiln-outside-"));
    try {
      const below = outside.slice(1);
      const links: TarSpec[] = [
        { path: below, type: "directory" },
        { path: "absolute-link", type: "symlink", linkTarget: outside },
        { path: "climbing-link", type: "symlink", linkTarget: `../../../../..${outside}` },
      ];
      const escapes: TarSpec[] = [
        { path: `${outside}/absolute`, data: "1" },
        { path: "absolute-link/linked", data: "2" },
        { path: "climbing-link/climbed", data: "3" },
        { path: "hard", type: "hardlink", linkTarget: "absolute-link/linked" },
      ];
      const tars = [[...(await busyboxMembers()), ...links], escapes].map(archiveBytes);
      const image = await layoutOf(tinyImage({ tars, run: { Env: ["PATH=/bin"] } }));
      const seen = await kiln.ok([
        "run",
        "--rm",
        "--network",
        "none",
        image,
        "sh",
        "-c",
        `cd ${outside} && cat absolute linked climbed /hard`,
      ]);
      assert.equal(seen, "1232");
      assert.deepEqual(await readdir(outside), [], "the host's directory of that name is untouched");
    } finally {
      await rm(outside, { recursive: true });
      // As long as it is there, its image is used.
      await kiln.untilNoVm();
      await kiln.ok(["system", "prune", "-af"]);
    }
    await assertNothingLeft(kiln);
  });
});

describe("layers that are not what they should be", () => {
  it("are refused where the config names another uncompressed digest", async () => {
    const tar = archiveBytes([{ path: "file", data: "x" }]);
    const wrong = sha256("something else");
    const image = tinyImage({ tars: [tar], config: { rootfs: { type: "layers", diff_ids: [wrong] } } });
    await assertLayerRefused(
      image,
      `the uncompressed data is ${sha256(tar)} where ${wrong} was expected`,
      /again/,
      "pull",
    );
  });

  it("are refused where the compressed stream ends early", async () => {
    const whole = gzipSync(archiveBytes([{ path: "noise", data: randomBytes(100_000) }]));
    const cut = withLayer(whole.subarray(0, 50_000));
    await assertLayerRefused(cut, "the gzip data ends too early", /again/, "pull");
  });

  it("are refused where the tar ends in the middle of a file", async () => {
    const whole = archiveBytes([{ path: "noise", data: randomBytes(100_000) }]);
    const image = tinyImage({ tars: [whole.subarray(0, 50_000)] });
    await assertLayerRefused(
      image,
      "tar entry at byte \\d+: the archive ends in the middle of an entry",
      /again/,
    );
  });

  it("are refused where they are no tar at all", async () => {
    await assertLayerRefused(
      tinyImage({ tars: [randomBytes(4096)] }),
      "it is no tar archive",
      /begins with no tar header/,
    );
  });

  it("are refused where symbolic links go round in a circle", async () => {
    const circle: TarSpec[] = [
      { path: "a", type: "symlink", linkTarget: "b" },
      { path: "b", type: "symlink", linkTarget: "a" },
      { path: "a/file", data: "x" },
    ];
    await assertLayerRefused(imageOf([circle]), `"a" leads through too many symbolic links`, /circle/);
  });
});

describe("images on disk that were damaged", () => {
  it("are refused where a layout's blob is not what its name says", async () => {
    const image = tinyImage({ tars: [archiveBytes([{ path: "file", data: randomBytes(1000) }])] });
    const source = await layoutOf(image);
    const [layer] = image.layers;
    assert.ok(layer);
    const [, directory = ""] = source.split(":");
    const changed = Buffer.from(layer.bytes);
    changed.writeUInt8(changed.readUInt8(100) ^ 1, 100);
    await writeFile(join(directory, "blobs/sha256", layer.digest.slice("sha256:".length)), changed);
    const message = new RegExp(
      `^${literally(source)}: blob ${layer.digest} has the digest ${sha256(changed)}$`,
    );
    assertRefused(await kiln.kiln(["run", "--rm", source, "true"]), { message, hint: /damaged/ });
    await assertNothingLeft(kiln);
  });

  it("are refused where an archive ends in the middle", async () => {
    const file = join(scratch, "cut.tar");
    const whole = archiveBytes([
      { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
      { path: "blobs/sha256/00", data: randomBytes(100_000) },
    ]);
    await writeFile(file, whole.subarray(0, 50_000));
    const source = `oci-archive:${file}`;
    const message = new RegExp(`^${literally(source)}: .*the archive ends in the middle of an entry$`);
    assertRefused(await kiln.kiln(["run", "--rm", source, "true"]), { message, hint: /again/ });
    await assertNothingLeft(kiln);
  });
});

describe("files that are no images", () => {
  for (const [what, source, message] of [
    [
      "a layout that is not there",
      "oci:/nonexistent/layout",
      "there is no file /nonexistent/layout/oci-layout",
    ],
    ["an archive that is not there", "docker-archive:/nonexistent.tar", "there is no file /nonexistent.tar"],
    ["an archive that is something else", "docker-archive:/etc/passwd", "it is no tar archive"],
    ["an archive that is a device", "oci-archive:/dev/zero", "/dev/zero is not a regular file"],
  ] as const) {
    it(`are refused: ${what}`, async () => {
      const result = await kiln.kiln(["run", "--rm", source, "true"]);
      assertRefused(result, { message: new RegExp(`^${literally(source)}: ${literally(message)}$`) });
      await assertNothingLeft(kiln);
    });
  }
});

/** An image with these bytes for a layer, as its digest says. */
function withLayer(bytes: Buffer): TinyImage {
  const image = tinyImage();
  const layers = [blob(bytes, `${OCI_LAYER}+gzip`)];
  return { ...image, layers, manifest: manifestOf(image.config, layers) };
}
