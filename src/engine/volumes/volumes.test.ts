import assert from "node:assert/strict";
import { readdir, readFile, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { GIB, specOf, volumeCase } from "../../../test/fixtures/volume-case.js";
import { hasReason } from "../../base/errors.js";
import { UndoStack } from "../../base/undo.js";
import type { Ref } from "../objects/references.js";
import { volumeRef } from "./entry.js";
import type { Holder } from "./holders.js";

const VM: Ref = { noun: "vm", id: "f".repeat(64) };
const on = volumeCase();
const reason = (word: string) => (error: unknown) => hasReason(error, word);

describe("a volume", () => {
  it("is made with its default size, kept for the next kilnd, and goes", async () => {
    const volumes = await on.open();
    const { entry, made } = await volumes.create(specOf("data", { labels: { a: "b" } }));
    assert.ok(made);
    assert.deepEqual(
      [entry.name, entry.anonymous, entry.isEmpty, entry.isToGrow],
      ["data", false, true, false],
    );
    assert.equal((await stat(volumes.path(entry.id))).size, 64 * GIB);
    const next = await on.open();
    assert.deepEqual(next.find("data").record, entry.record);
    assert.deepEqual(next.find(entry.id.slice(0, 8)).status, entry.status);
    await next.remove(next.find("data"));
    assert.deepEqual(await readdir(join(on.root, "volumes")), []);
    assert.throws(() => next.find("data"), reason("volume-not-found"));
    assert.deepEqual(on.told, ["create data", "destroy data"]);
  });

  it("without a name is called by its id", async () => {
    const volumes = await on.open();
    const { entry } = await volumes.create(specOf(""));
    assert.deepEqual([entry.name, entry.anonymous], [entry.id, true]);
  });

  it("is found where there is one of that name, unless it has another size", async () => {
    const volumes = await on.open();
    const asked = [specOf("data", { sizeBytes: GIB }), specOf("data"), specOf("data", { sizeBytes: GIB })];
    const taken = await Promise.all(asked.map((spec) => volumes.create(spec)));
    assert.deepEqual(
      taken.map(({ made, entry }) => [made, entry.id]),
      [true, false, false].map((made) => [made, taken[0]?.entry.id]),
    );
    await assert.rejects(volumes.create(specOf("data", { sizeBytes: 2 * GIB })), reason("volume-exists"));
    assert.equal(volumes.list().length, 1);
  });

  it("is made anew where its removal has begun", async () => {
    const volumes = await on.open();
    const { entry } = await volumes.create(specOf("data"));
    const removed = volumes.remove(entry);
    const again = await volumes.create(specOf("data"));
    await removed;
    assert.ok(again.made && again.entry.id !== entry.id);
    assert.equal(volumes.find("data").id, again.entry.id);
  });

  it("leaves nothing where it can't be made", async () => {
    const volumes = await on.open();
    const { createEmpty } = on;
    on.createEmpty = async () => {
      throw new Error("the disk is full");
    };
    await assert.rejects(volumes.create(specOf("data")), /the disk is full/);
    on.createEmpty = createEmpty;
    on.freeDisk = 1;
    await assert.rejects(volumes.create(specOf("data")), reason("host-disk-full"));
    assert.deepEqual(await readdir(join(on.root, "volumes")), []);
    on.freeDisk = GIB;
    assert.ok((await volumes.create(specOf("data"))).made);
    assert.deepEqual(on.references.leased(), []);
  });

  it("has a name and a size that can be", async () => {
    const volumes = await on.open();
    const names = ["-a", "a/b", "/srv", "a b", "ä", "a".repeat(64), ".", "..", "0".repeat(64)];
    for (const name of names) await assert.rejects(volumes.create(specOf(name)), reason("bad-name"), name);
    for (const sizeBytes of [1, 4096, 15 * 1024 * GIB + 1]) {
      await assert.rejects(volumes.create(specOf("a", { sizeBytes })), reason("bad-volume-size"));
    }
    const { entry } = await volumes.create(specOf("a", { sizeBytes: 16 * 1024 ** 2 + 1 }));
    assert.equal(entry.sizeBytes, 17 * 1024 ** 2);
  });
});

describe("who uses a volume", () => {
  it("is named where it is to be removed", async () => {
    const volumes = await on.open();
    await using leases = new UndoStack();
    const keeping = { references: on.references, leases, why: "VM web is being made" };
    const { entry } = await volumes.take(specOf("data"), keeping);
    await assert.rejects(volumes.remove(entry), /VM web is being made/);
    on.references.set(VM, [{ to: volumeRef(entry.id), how: "needs" }]);
    await leases.rollback();
    await assert.rejects(volumes.remove(entry), reason("volume-in-use"));
    on.references.drop(VM);
    await volumes.remove(entry);
    await assert.rejects(volumes.use(entry.id, holder("web", false)), reason("volume-not-found"));
  });

  it("is one that writes, or any number that read", async () => {
    const volumes = await on.open();
    const { id } = (await volumes.create(specOf("data"))).entry;
    const release = await volumes.use(id, holder("web", false));
    for (const readOnly of [true, false]) {
      await assert.rejects(volumes.use(id, holder("db", readOnly)), (error) => {
        return hasReason(error, "volume-busy") && /VM db .*: VM web has it writable/.test(String(error));
      });
    }
    release();
    release();
    const readers = [await volumes.use(id, holder("a", true)), await volumes.use(id, holder("b", true))];
    await assert.rejects(volumes.use(id, holder("db", false)), /VM a is reading it/);
    for (const each of readers) each();
    assert.deepEqual(volumes.holders(id), []);
    (await volumes.use(id, holder("db", false)))();
  });

  it("that was taken over is not refused", async () => {
    const volumes = await on.open();
    const { id } = (await volumes.create(specOf("data"))).entry;
    const releases = [volumes.adopt(id, holder("a", false)), volumes.adopt(id, holder("b", false))];
    await assert.rejects(volumes.use(id, holder("c", true)), reason("volume-busy"));
    for (const release of releases) release();
    (await volumes.use(id, holder("c", true)))();
  });

  it("gets none whose disk is gone or cut", async () => {
    const volumes = await on.open();
    const { entry } = await volumes.create(specOf("data"));
    await truncate(volumes.path(entry.id), 5);
    await assert.rejects(volumes.use(entry.id, holder("web", false)), /cut to 5 bytes/);
    await assert.rejects(volumes.grow(entry, 65 * GIB, later), reason("volume-damaged"));
    await rm(volumes.path(entry.id));
    await assert.rejects(volumes.use(entry.id, holder("web", false)), reason("volume-damaged"));
    assert.deepEqual(volumes.holders(entry.id), []);
  });
});

describe("growing a volume", () => {
  it("makes its disk larger, and says that the file system is to follow", async () => {
    const volumes = await on.open();
    const { entry } = await volumes.create(specOf("data", { sizeBytes: GIB }));
    await volumes.grow(entry, 2 * GIB, later);
    assert.deepEqual([entry.sizeBytes, entry.isToGrow], [2 * GIB, true]);
    assert.equal((await stat(volumes.path(entry.id))).size, 2 * GIB);
    await assert.rejects(volumes.grow(entry, GIB, later), reason("volume-shrink"));
    await volumes.grow(entry, 2 * GIB, later);
    await volumes.noteFilesystem(entry.id, 2 * GIB - 4096);
    assert.ok(!entry.isToGrow);
    assert.deepEqual(on.told, ["create data", "grow data"]);
    const { record, status } = (await on.open()).find("data");
    assert.deepEqual([record, status], [entry.record, entry.status]);
  });

  it("tells the VM that has it writable, and tries again what that could not do", async () => {
    const volumes = await on.open();
    const { entry } = await volumes.create(specOf("data", { sizeBytes: GIB }));
    const seen: [string, number][] = [];
    let answer: (() => number | undefined) | undefined;
    const tell = async ({ name }: Holder) => {
      seen.push([name, (await stat(volumes.path(entry.id))).size]);
      return answer?.();
    };
    await volumes.use(entry.id, holder("web", false));
    answer = () => {
      throw new Error("the guest does not answer");
    };
    await assert.rejects(volumes.grow(entry, 2 * GIB, tell), /does not answer/);
    answer = undefined;
    await volumes.grow(entry, 2 * GIB, tell);
    assert.ok(entry.isToGrow);
    answer = () => 2 * GIB;
    await volumes.grow(entry, 2 * GIB, tell);
    await volumes.grow(entry, 2 * GIB, tell);
    assert.deepEqual([seen, entry.isToGrow], [Array(3).fill(["web", 2 * GIB]), false]);
  });

  it("that was cut after the file has grown is seen by the next kilnd", async () => {
    const volumes = await on.open();
    const { entry } = await volumes.create(specOf("data", { sizeBytes: GIB }));
    await truncate(volumes.path(entry.id), 2 * GIB);
    const next = (await on.open()).find("data");
    assert.deepEqual([next.sizeBytes, next.isToGrow, next.recordFlaw], [2 * GIB, true, undefined]);
  });
});

describe("a volume is filled once", () => {
  it("and that is kept", async () => {
    const volumes = await on.open();
    const { entry } = await volumes.create(specOf("data"));
    await volumes.markFilled(entry.id);
    assert.ok(!entry.isEmpty);
    assert.ok(!(await on.open()).find("data").isEmpty);
    assert.match(await readFile(on.path(entry.id, "status.json"), "utf8"), /"filled": ?true/);
  });
});

function holder(name: string, readOnly: boolean) {
  return { vm: name, name, readOnly };
}

const later = async () => undefined;
