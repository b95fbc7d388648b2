import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { createFakeRooms, createWorld, destroyWorld, type World } from "../../../test/fixtures/fake-rooms.js";
import type { StoredKernel } from "../../kernel/types.js";
import { OWN_USER } from "../host/ownership.js";
import { References } from "../objects/references.js";
import { KernelAssets } from "./kernel-assets.js";

let world: World;
let root: string;
let kernels: StoredKernel[];
beforeEach(async () => {
  world = await createWorld();
  root = await mkdtemp(join(tmpdir(), "kiln-assets-"));
  const kernel = createFakeRooms(world).kernels.list()[0] as StoredKernel;
  kernels = ["6", "7"].map((digit) => ({ ...kernel, id: digit.repeat(64), modulesDirectory: "/nowhere" }));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
  await destroyWorld(world);
});

async function open(build: (path: string) => Promise<void>): Promise<KernelAssets> {
  const rooms = createFakeRooms(world);
  const assets = new KernelAssets({
    ...{ dataRoot: root, ownership: OWN_USER, agentPath: "/nowhere/agent" },
    references: new References(),
    catalogue: { ...rooms.kernels, list: () => kernels },
    disks: { ...rooms.disks, buildFromDirectory: (_, path) => build(path) },
  });
  await assets.open();
  return assets;
}

const idOf = (at: number) => kernels[at]?.id ?? "";
const names = () => readdir(join(root, "modules"));

describe("disks of modules", () => {
  it("are made once for each kernel, whole or not at all", async () => {
    let built = 0;
    const assets = await open(async (path) => {
      await writeFile(path, "disk");
      if (built++ === 0) throw new Error("no more");
    });
    await assert.rejects(assets.prepare(idOf(0)), /make the modules disk of kernel debian: no more/);
    assert.deepEqual(await names(), []);
    const [one, other] = await Promise.all([assets.prepare(idOf(0)), assets.prepare(idOf(0))]);
    assert.deepEqual([one.modules, built], [other.modules, 2]);
    assert.equal((await assets.prepare(idOf(0))).modules, join(root, "modules", `${idOf(0)}.ext4`));
    assert.equal(built, 2);
  });

  it("lose what a kill left half made at the next start", async () => {
    await mkdir(join(root, "modules"));
    for (const name of [`${idOf(0)}.ext4.tmp-1`, `${idOf(0)}.ext4`]) {
      await writeFile(join(root, "modules", name), "disk");
    }
    await open(async () => undefined);
    assert.deepEqual(await names(), [`${idOf(0)}.ext4`]);
  });

  it("go with their kernels, and stay where a kernel has come back while the one before went", async () => {
    const assets = await open((path) => writeFile(path, "disk"));
    const [gone, back] = kernels as [StoredKernel, StoredKernel];
    for (const { id } of kernels) await assets.prepare(id);
    kernels = [];
    const collecting = assets.collect();
    kernels = [back];
    assert.ok((await collecting) > 0);
    assert.deepEqual(await names(), [`${back.id}.ext4`]);
    assert.equal((await assets.prepare(back.id)).kernel, back);
    await assert.rejects(assets.prepare(gone.id), /no longer here/);
  });
});
