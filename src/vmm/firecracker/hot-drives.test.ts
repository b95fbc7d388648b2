import assert from "node:assert/strict";
import { lstat, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import type { DiskSpec } from "../types.js";
import { HotDrives, makeSpares, planSpares, type Spare } from "./hot-drives.js";

describe("planSpares", () => {
  const disks = (count: number): DiskSpec[] =>
    Array.from({ length: count }, (_, index) => ({ id: `d${index}`, path: "/d", readOnly: true }));

  it("fills the room that the VM's own disks leave, writable ones first", () => {
    const plan = (count: number) => planSpares({ disks: disks(count), hotplug: true }, 13);
    assert.deepEqual(
      plan(3).map(({ readOnly }) => readOnly),
      [false, false, false, false, true, true],
    );
    assert.deepEqual(plan(12), [{ id: "spare_0", readOnly: false }]);
    assert.deepEqual(plan(13), []);
    assert.deepEqual(planSpares({ disks: disks(3) }, 13), []);
  });
});

describe("HotDrives", () => {
  let root: string;
  let directory: string;
  let disk: DiskSpec;
  let drives: { drive_id: string; path_on_host: string; is_read_only: boolean }[];
  let serials: Map<string, string>;
  let hot: HotDrives;
  let refuses: boolean;
  const spares: readonly Spare[] = [
    { id: "spare_0", readOnly: false },
    { id: "spare_1", readOnly: true },
  ];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-hot-"));
    directory = join(root, "h");
    await makeSpares(directory, spares, undefined);
    disk = { id: "data", path: join(root, "data"), readOnly: false };
    await writeFile(disk.path, "content");
    drives = [
      { drive_id: "base", path_on_host: "/disk-base", is_read_only: true },
      ...spares.map(({ id, readOnly }) => ({
        drive_id: id,
        path_on_host: `/h/${id}`,
        is_read_only: readOnly,
      })),
    ];
    serials = new Map([["base", "1"]]);
    refuses = false;
    hot = new HotDrives({ directory, call, serials });
  });
  afterEach(() => rm(root, { recursive: true }));

  async function call(method: string, path: string, body: Readonly<Record<string, unknown>> = {}) {
    if (method === "GET") return { drives };
    if (refuses) throw new Error("refused");
    const drive = drives.find(({ drive_id }) => path === `/drives/${drive_id}`);
    assert.equal(drive?.drive_id, body.drive_id);
    if (drive !== undefined) drive.path_on_host = String(body.path_on_host);
    return undefined;
  }
  const pathOf = (id: string) => drives.find(({ drive_id }) => drive_id === id)?.path_on_host;

  it("puts a disk into a free place of its kind, and takes it out again", async () => {
    await hot.attach(disk);
    assert.equal(pathOf("spare_0"), "/h/disk-data");
    assert.equal((await lstat(join(directory, "disk-data"))).ino, (await lstat(disk.path)).ino);
    assert.match(serials.get("data") ?? "", /^[0-9]{1,20}$/);
    await hot.attach({ ...disk, id: "fixed", readOnly: true });
    assert.equal(pathOf("spare_1"), "/h/disk-fixed");
    await hot.detach("data");
    assert.equal(pathOf("spare_0"), "/h/spare_0");
    assert.deepEqual((await readdir(directory)).sort(), ["disk-fixed", "spare_0", "spare_1"]);
    assert.equal(serials.has("data"), false);
  });

  it("takes no more than it has places for, no disk twice, and no fixed one away", async () => {
    await hot.attach(disk);
    const rejects = (made: Promise<void>, reason: string) =>
      assert.rejects(made, (error) => hasReason(error, reason));
    await rejects(hot.attach(disk), "disk-attached");
    await rejects(hot.attach({ ...disk, id: "other" }), "too-many-disks");
    await rejects(hot.attach({ ...disk, id: "dev", device: true }), "no-device-disks");
    await rejects(hot.detach("base"), "disk-is-fixed");
    await rejects(hot.grow({ ...disk, id: "other" }), "no-such-disk");
    drives = drives.slice(0, 1);
    await rejects(hot.attach({ ...disk, id: "other" }), "no-hotplug");
  });

  it("leaves nothing of what Firecracker refuses, and of what is no file", async () => {
    refuses = true;
    await assert.rejects(hot.attach(disk), /refused/);
    const link = join(root, "link");
    await symlink(disk.path, link);
    refuses = false;
    await assert.rejects(hot.attach({ ...disk, path: link }), (error) => hasReason(error, "not-as-expected"));
    assert.deepEqual((await readdir(directory)).sort(), ["spare_0", "spare_1"]);
    assert.equal(pathOf("spare_0"), "/h/spare_0");
  });

  it("goes on where a kilnd was killed between its two steps", async () => {
    await writeFile(join(directory, "disk-data"), "left over");
    await hot.attach(disk);
    assert.equal((await lstat(join(directory, "disk-data"))).ino, (await lstat(disk.path)).ino);
    const later = new Map([["base", "1"]]);
    const next = new HotDrives({ directory, call, serials: later });
    await next.find();
    assert.deepEqual(later, serials);
    await next.detach("data");
    await next.detach("data");
    assert.equal(pathOf("spare_0"), "/h/spare_0");
  });
});
