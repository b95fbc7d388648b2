import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import { type MountSpec, NO_MOUNT } from "../../base/mounts.js";
import { encodeTarHeader } from "../../base/tar-format.js";
import { readTar, TAR_END } from "../../base/tar-stream.js";
import { mountOf } from "../vm/mount-config.js";
import { waitProgram } from "../workload/wait-program.js";

const kilnd = engineCase();
const features = ["workloads", "disk-serial", "mounts", "hold"];
beforeEach(() => {
  const archived = new Map([
    ["/volume", archiveOf("volume", "volume/a")],
    ["/data", archiveOf("data", "data/b")],
  ]);
  kilnd.world.behaviours = [{ features, archived }];
});

/** A directory, and an empty file in it. */
function archiveOf(directory: string, file: string): Buffer {
  const entry = { mode: 0o700, uid: 5, gid: 5, mtimeMs: 0, linkName: "", size: 0 };
  const of = (name: string, type: "directory" | "file") => encodeTarHeader({ ...entry, name, type });
  return Buffer.concat([of(directory, "directory"), of(file, "file"), TAR_END]);
}

const create = (name: string) => kilnd.engine.volumes.create({ name, sizeBytes: 0, labels: {} });
const having = (source: string, changes: Partial<MountSpec> = {}) => ({
  mounts: [mountOf({ ...NO_MOUNT, source, target: "/data", ...changes })],
});
const launched = () => kilnd.world.vmms.length;

const exported = (key: string) => namesOf(kilnd.engine.volumes.files.read(key));

async function namesOf(tar: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<string[]> {
  const names: string[] = [];
  for await (const { entry } of readTar(inPieces(...(await all(tar))))) names.push(entry.name);
  return names;
}

async function all<T>(items: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function* inPieces(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

async function nothingIsLeft(): Promise<void> {
  assert.deepEqual(kilnd.engine.vms.list(true), []);
  const volumes = await kilnd.engine.volumes.list();
  assert.deepEqual(
    volumes.map(({ vms, writer }) => [...vms, writer]),
    volumes.map(() => [""]),
  );
}

describe("what lies in a volume that no VM has open", () => {
  it("is read by a VM of kiln's own, which is gone then", async () => {
    await create("data");
    assert.deepEqual(await exported("data"), [".", "./a"]);
    const [vmm] = kilnd.world.vmms;
    assert.deepEqual([launched(), vmm?.alive], [1, false]);
    const [mount] = vmm?.guest.boot?.mounts ?? [];
    assert.deepEqual([mount?.target, mount?.subpath, mount?.readOnly], ["/volume", "data", true]);
    assert.deepEqual(vmm?.guest.archives[0]?.data.subarray(512, 516), Buffer.from("\x7fELF"));
    await nothingIsLeft();
  });

  it("is read no further once nobody wants it", async () => {
    await create("data");
    for await (const _ of kilnd.engine.volumes.files.read("data")) break;
    await nothingIsLeft();
    assert.deepEqual([launched(), kilnd.world.vmms[0]?.alive], [1, false]);
  });

  it("is written by such a VM, and nothing of an image is copied over it later", async () => {
    await create("data");
    await kilnd.engine.volumes.files.write("data", inPieces(archiveOf(".", "./a")));
    const [, archive] = kilnd.world.vmms[0]?.guest.archives ?? [];
    assert.deepEqual([archive?.directory, archive?.dressDirectory], ["/volume", true]);
    assert.deepEqual(await namesOf([archive?.data ?? Buffer.alloc(0)]), [".", "./a"]);
    assert.ok(
      kilnd.world.vmms[0]?.guest.calls.some((call) => call.startsWith("stop ")),
      "it ends well",
    );
    await nothingIsLeft();
    const { vmm } = await kilnd.running(having("data"));
    const [mount] = vmm.guest.boot?.mounts ?? [];
    assert.equal(mount?.source.case === "disk" && mount.source.value.fill, false);
  });

  it("is written of a tar in gzip too, and of one in xz nothing is begun", async () => {
    await create("data");
    await kilnd.engine.volumes.files.write("data", inPieces(gzipSync(archiveOf(".", "./a"))));
    const [, archive] = kilnd.world.vmms[0]?.guest.archives ?? [];
    assert.deepEqual(await namesOf([archive?.data ?? Buffer.alloc(0)]), [".", "./a"]);
    const xz = kilnd.engine.volumes.files.write("data", inPieces(Buffer.from("fd377a585a0000", "hex")));
    await assert.rejects(xz, (error) => hasReason(error, "unsupported-compression"));
    assert.equal(launched(), 1);
    await nothingIsLeft();
  });

  it("is let go of where that VM can't be started", async () => {
    await create("data");
    kilnd.world.behaviours = [{ features: ["workloads"] }];
    await assert.rejects(exported("data"), (error) => hasReason(error, "agent-too-old"));
    await nothingIsLeft();
    await assert.rejects(exported("nothing"), (error) => hasReason(error, "volume-not-found"));
  });

  it("is left by the next kilnd to nobody", async () => {
    await create("data");
    const reading = kilnd.engine.volumes.files.read("data");
    await reading.next();
    const engine = await kilnd.start();
    assert.deepEqual(engine.vms.list(true), []);
    assert.equal(kilnd.world.vmms[0]?.alive, false);
    assert.deepEqual((await engine.volumes.find("data")).vms, []);
    await reading.return(undefined).catch(() => undefined);
  });
});

describe("what lies in a volume that a VM has open", () => {
  it("is what that VM sees of it, be it to read alone", async () => {
    for (const readOnly of [false, true]) {
      await create(`data-${readOnly}`);
      await kilnd.running(having(`data-${readOnly}`, { readOnly }));
      const before = launched();
      assert.deepEqual(await exported(`data-${readOnly}`), [".", "./b"]);
      assert.equal(launched(), before);
    }
  });

  it("is written through the VM that writes it, and through no other", async () => {
    const { vmm } = await kilnd.running(having("data"));
    await kilnd.engine.volumes.files.write("data", inPieces(archiveOf("sub", "sub/a")));
    const [archive] = vmm.guest.archives;
    // Into the volume alone: a link in it or in the archive leads to nothing else of the VM's.
    assert.deepEqual([archive?.directory, launched()], ["/data", 1]);
    assert.deepEqual(await namesOf([archive?.data ?? Buffer.alloc(0)]), ["sub", "sub/a"]);
    const { entry } = await kilnd.running(having("other", { readOnly: true }));
    await assert.rejects(kilnd.engine.volumes.files.write("other", inPieces(TAR_END)), (error) => {
      return hasReason(error, "volume-busy") && String(error).includes(`VM ${entry.name} has it read-only`);
    });
    assert.equal(launched(), 2);
  });
});

describe("the program of a VM whose root is empty", () => {
  it("is an executable of the guest's architecture, all of it loaded", () => {
    for (const [architecture, machine] of [
      ["amd64", 62],
      ["arm64", 183],
    ] as const) {
      const elf = waitProgram(architecture);
      assert.deepEqual([elf.readUInt16LE(16), elf.readUInt16LE(18)], [2, machine]);
      const entry = Number(elf.readBigUInt64LE(24) - elf.readBigUInt64LE(64 + 16));
      assert.ok(entry === 120 && entry < elf.length);
      assert.equal(Number(elf.readBigUInt64LE(64 + 32)), elf.length);
    }
  });
});
