// The tree inside a VM equals what `umoci unpack` makes of the same image as root: path, type, mode, owner, size,
// sha256, mtime, link target, device numbers, extended attributes, hard links. The base is e2fsck-clean, and the same
// image gives the same bytes twice.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { agentPath, debianLayout } from "../fixtures/assets.js";
import { writeImage } from "../fixtures/images/image-layout.js";
import { NASTY_UNPACK_TIMES, nastyLayers } from "../fixtures/images/nasty-image.js";
import { archive } from "../fixtures/images/tar-writer.js";
import { run, TestKiln } from "./harness.js";

const TREEWALK = join(dirname(agentPath()), "kiln-treewalk");
const BUSYBOX = "/bin/busybox";
const skip = process.getuid?.() === 0 ? false : "umoci restores owners and devices as root only";

/**
 * What kiln itself puts on the root: mount points that Docker makes as well (docs/guide/images.md), and ext4's own
 * directory. Where the image did not have them, their parent's mtime changes.
 */
const OURS = /^\.\/(lost\+found|dev|proc|sys|etc\/(hosts|hostname|resolv\.conf)|(usr\/)?lib\/modules)(\/|$)/;

type Listing = Map<string, Record<string, unknown>>;

function parseListing(text: string): Listing {
  const found: Listing = new Map();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const node = JSON.parse(line) as Record<string, unknown>;
    found.set(String(node.path), node);
  }
  return found;
}

const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

/** Both listings without what kiln mounts; the mtime of a directory that got a mount point made is left out. */
function comparable(guest: Listing, host: Listing, withoutTimes: readonly string[]): [Listing, Listing] {
  const made = [...guest.keys()].filter((path) => OURS.test(path) && !host.has(path)).map(parentOf);
  const untimed = new Set([...made, ...withoutTimes.map((path) => (path === "" ? "." : `./${path}`))]);
  const strip = (listing: Listing): Listing => {
    const kept: Listing = new Map();
    for (const [path, node] of listing) {
      if (OURS.test(path)) continue;
      kept.set(path, untimed.has(path) ? { ...node, mtimeNs: "" } : node);
    }
    return kept;
  };
  return [strip(guest), strip(host)];
}

function assertSameListing(guest: Listing, host: Listing): void {
  const differing: string[] = [];
  for (const path of new Set([...guest.keys(), ...host.keys()])) {
    const [a, b] = [JSON.stringify(guest.get(path)), JSON.stringify(host.get(path))];
    if (a !== b) differing.push(`${path}\n  guest ${a}\n  umoci ${b}`);
  }
  assert.deepEqual(differing.slice(0, 20), [], `${differing.length} of ${host.size} paths differ`);
}

async function unpack(layout: string, tag: string, scratch: string): Promise<Listing> {
  const bundle = join(scratch, "bundle");
  const unpacked = await run(["umoci", "unpack", "--image", `${layout}:${tag}`, bundle]);
  assert.equal(unpacked.code, 0, unpacked.stderr);
  const walked = await run([TREEWALK, join(bundle, "rootfs")]);
  assert.equal(walked.code, 0, walked.stderr);
  await rm(bundle, { recursive: true });
  return parseListing(walked.stdout);
}

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

  async function guestTree(image: string, command: readonly string[]): Promise<Listing> {
    const vm = (
      await kiln.ok(["run", "-d", "--network", "none", "--entrypoint", "", image, ...command])
    ).trim();
    await kiln.ok(["cp", TREEWALK, `${vm}:/dev/shm/treewalk`]);
    const listing = parseListing(
      await kiln.ok(["exec", "-u", "0", vm, "/dev/shm/treewalk", "/"], { timeoutMs: 600_000 }),
    );
    await kiln.ok(["rm", "-f", vm]);
    return listing;
  }

  async function assertSame(
    layout: string,
    tag: string,
    command: readonly string[],
    untimed: readonly string[] = [],
  ) {
    const guest = await guestTree(`oci:${layout}:${tag}`, command);
    const host = await unpack(layout, tag, scratch);
    assert.ok(host.size > 10, "umoci unpacked something");
    assertSameListing(...comparable(guest, host, untimed));
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
