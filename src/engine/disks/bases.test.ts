import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, OTHER_RELEASE } from "../../../test/fixtures/damage.js";
import { IMAGE } from "../../../test/fixtures/fake-rooms.js";
import { holdInPlace, keepFiles } from "../../../test/fixtures/patched-files.js";
import { silentLogger } from "../../base/log.js";
import type { BaseBuilder } from "../common/rooms.js";
import { OWN_USER } from "../host/ownership.js";
import { References } from "../objects/references.js";
import { Bases, baseKeyOf } from "./bases.js";

const DISK = 4096;
const KEY = baseKeyOf(IMAGE, DISK);

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-bases-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const build: BaseBuilder = async ({ output, diskBytes }) => {
  await writeFile(output, "base");
  await truncate(output, diskBytes);
  return { sizeBytes: diskBytes, inodes: 1, dataBytes: 1, hasInit: true };
};

async function open(builder: BaseBuilder = build): Promise<Bases> {
  const bases = new Bases({
    ...{ dataRoot: root, builder, ownership: OWN_USER, limits: {}, reserveBytes: 0, log: silentLogger },
    references: new References(),
    host: {
      facts: { cpus: 1, memoryBytes: 1, platform: "linux/amd64" },
      availableMemory: async () => 1e12,
      freeDisk: async () => 1e12,
    },
    blobPath: (digest) => `/nowhere/${digest}`,
  });
  await bases.open();
  return bases;
}

const place = (...names: string[]) => join(root, "bases", ...names);

describe("bases on disk", () => {
  it("are found by the next kilnd with all that their records say", async () => {
    const base = await (await open()).ensure(IMAGE, DISK, {});
    assert.deepEqual((await readdir(place(KEY))).sort(), ["base.ext4", "base.json", "base.json.bak"]);
    assert.deepEqual((await open()).list(), [base]);
    assert.deepEqual([base.hasInit, base.imageId], [true, IMAGE.id]);
  });

  it("stay as they were where they can't be moved away, and are gone where only their files can't", async () => {
    const bases = await open();
    const base = await bases.ensure(IMAGE, DISK, {});
    const stuck = holdInPlace((path) => path === place(KEY));
    await assert.rejects(bases.remove(KEY), { code: "EROFS" });
    stuck[Symbol.dispose]();
    assert.deepEqual([bases.list(), await bases.find(KEY), await bases.strays()], [[base], base, []]);
    const immutable = keepFiles((path) => path.includes(".removing-"));
    await assert.rejects(bases.remove(KEY), { code: "EPERM" });
    immutable[Symbol.dispose]();
    assert.deepEqual([bases.list(), await bases.strays()], [[], [place(`.removing-${KEY}`)]]);
    await bases.ensure(IMAGE, DISK, {});
    assert.deepEqual(await bases.strays(), []);
    await bases.remove(KEY);
    assert.deepEqual([bases.list(), await readdir(place())], [[], []]);
  });

  it("leave nothing where a build fails, and are built at the next try", async () => {
    const bases = await open(async ({ output }) => {
      await writeFile(output, "half");
      throw new Error("no more");
    });
    await assert.rejects(bases.ensure(IMAGE, DISK, {}), /no more/);
    assert.deepEqual(await readdir(place()), []);
    assert.equal((await (await open()).ensure(IMAGE, DISK, {})).key, KEY);
  });

  it("lose what a kill left half made or half removed, of every release, and keep what they don't know", async () => {
    for (const name of [
      ".building-a",
      ".building-removing-b",
      ".creating-c",
      ".removing-d",
      "9".repeat(64),
    ]) {
      await mkdir(place(name), { recursive: true });
    }
    await mkdir(place("somebody's"));
    const bases = await open();
    assert.deepEqual(await readdir(place()), ["somebody's"]);
    assert.deepEqual(await bases.strays(), [place("somebody's")]);
  });

  it("are used on where their record is another's, and made anew for whoever must know more", async () => {
    await (await open()).ensure(IMAGE, DISK, {});
    for (const name of ["base.json", "base.json.bak"]) {
      await writeFile(place(KEY, name), JSON.stringify({ version: 1, key: "0".repeat(64), sizeBytes: 1 }));
    }
    const bases = await open();
    assert.equal((await bases.find(KEY))?.sizeBytes, DISK);
    assert.equal((await bases.find(KEY))?.imageId, "");
    assert.equal((await bases.ensure(IMAGE, DISK, {})).imageId, IMAGE.id);
  });

  it("are built again where their file is gone, with what another release has put into their record", async () => {
    const [unknown] = OTHER_RELEASE;
    assert.ok(unknown);
    await (await open()).ensure(IMAGE, DISK, {});
    await damageFile(place(KEY, "base.json"), unknown, true);
    const bases = await open();
    await rm(place(KEY, "base.ext4"));
    await bases.ensure(IMAGE, DISK, {});
    assert.equal((await stat(place(KEY, "base.ext4"))).size, DISK);
    assert.equal(JSON.parse(await readFile(place(KEY, "base.json"), "utf8")).ofTomorrow, "kept");
  });

  it("are shut to others, also those that an earlier release left open", async () => {
    await (await open()).ensure(IMAGE, DISK, {});
    for (const directory of [place(), place(KEY)]) await chmod(directory, 0o711);
    await open();
    for (const directory of [place(), place(KEY)]) {
      assert.equal((await stat(directory)).mode & 0o777, 0o700, directory);
    }
  });
});
