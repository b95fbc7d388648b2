// The tree inside a VM equals what `umoci unpack` makes of the same image as root: path, type, mode, owner, size,
// sha256, mtime, link target, device numbers, extended attributes, hard links. The base is e2fsck-clean, and the same
// image gives the same bytes twice.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { debianLayout } from "../fixtures/assets.js";
import { writeImage } from "../fixtures/images/image-layout.js";
import { NASTY_UNPACK_TIMES, nastyLayers } from "../fixtures/images/nasty-image.js";
import { archive } from "../fixtures/images/tar-writer.js";
import { assertSameTree, guestTree, umociTree } from "./guest-tree.js";
import { run, TestKiln } from "./harness.js";

const BUSYBOX = "/bin/busybox";
const skip = process.getuid?.() === 0 ? false : "umoci restores owners and devices as root only";

describe("the tree inside a VM", { skip }, () => {
  let kiln: TestKiln;
  let scratch = "";
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kiln-tree-"));
    kiln = await TestKiln.start();
  });
  after(async () => {
    await kiln.dispose();
    await rm(scratch, { recursive: true, force: true });
  });

  async function assertSame(
    layout: string,
    tag: string,
    command: readonly string[],
    untimed: readonly string[] = [],
  ) {
    const guest = await guestTree(kiln, `oci:${layout}:${tag}`, command);
    assertSameTree(guest, await umociTree(layout, tag, scratch), untimed);
  }

  for (const name of ["debian", "nginx", "postgres"] as const) {
    it(`equals umoci's for the image ${name}`, async () => {
      const [, layout = "", tag = ""] = debianLayout(name).split(":");
      await assertSame(layout, tag, ["sleep", "100000"]);
    });
  }

  it("equals umoci's for an image of everything nasty, with 100,000 files", async () => {
    const layout = join(scratch, "nasty");
    const busybox = [{ tar: archive([{ path: "busybox", data: await readFile(BUSYBOX), mode: 0o755 }]) }];
    await writeImage(layout, { layers: [...nastyLayers(), ...busybox], tag: "nasty" });
    await assertSame(layout, "nasty", ["/busybox", "sleep", "100000"], NASTY_UNPACK_TIMES);
  });

  it("is e2fsck-clean in every base", async () => {
    const bases = join(kiln.root, "data", "bases");
    const files = (await readdir(bases, { recursive: true })).filter((path) => path.endsWith("base.ext4"));
    assert.ok(files.length >= 4, `a base for each image, found ${files.length}`);
    for (const file of files) {
      const checked = await run(["e2fsck", "-fn", join(bases, file)], { timeoutMs: 600_000 });
      assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    }
  });

  it("has the same bytes when the base is made again", async () => {
    const sums: string[] = [];
    for (let round = 0; round < 2; round++) {
      const other = await TestKiln.start();
      try {
        await other.ok(["create", "--disk", "2g", debianLayout("debian")]);
        const bases = join(other.root, "data", "bases");
        const [file] = (await readdir(bases, { recursive: true })).filter((path) =>
          path.endsWith("base.ext4"),
        );
        assert.ok(file !== undefined);
        const sum = await run(["sha256sum", join(bases, file)]);
        sums.push(sum.stdout.split(" ")[0] ?? "");
      } finally {
        await other.dispose();
      }
    }
    assert.match(sums[0] ?? "", /^[0-9a-f]{64}$/);
    assert.equal(sums[0], sums[1]);
  });
});
