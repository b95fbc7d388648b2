import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { openSource } from "./source.js";

describe("what is shared", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-source-"));
    await mkdir(join(root, "dir"));
    await writeFile(join(root, "dir/file"), "x");
    await symlink("dir", join(root, "to-dir"));
    await symlink("dir/file", join(root, "to-file"));
    await symlink("gone", join(root, "dangling"));
  });
  after(() => rm(root, { recursive: true, force: true }));

  for (const [name, file] of [
    ["dir", undefined],
    ["to-dir", undefined],
    ["dir/file", "file"],
    ["to-file", "file"],
  ] as const) {
    it(`is held as a directory's descriptor: ${name}`, async () => {
      await using source = await openSource({ source: join(root, name) });
      assert.equal(source.file, file);
      assert.deepEqual(await readdir(`/proc/self/fd/${source.fd}`), ["file"]);
    });
  }

  for (const name of ["gone", "dangling"]) {
    it(`is refused where it is not there, with what was asked for: ${name}`, async () => {
      const error = { reason: "share-source-missing", message: new RegExp(`share ${join(root, name)}: `) };
      await assert.rejects(openSource({ source: join(root, name) }), error);
    });
  }

  it("is refused where it is a pipe or a device, without waiting for anybody", async () => {
    const fifo = join(root, "fifo");
    assert.equal(spawnSync("mkfifo", [fifo]).status, 0);
    for (const path of [fifo, "/dev/null"])
      await assert.rejects(openSource({ source: path }), { reason: "bad-share-source" });
  });

  it("is not found by a link that a guest may have made, wherever on the way it is", async () => {
    await mkdir(join(root, "guest/deep"), { recursive: true });
    await symlink("../../dir", join(root, "guest/deep/out"));
    await symlink(join(root, "dir"), join(root, "guest/out"));
    await symlink("guest/deep", join(root, "to-guest"));
    const guestPlaces = () => [{ path: join(root, "guest"), vm: "builder" }];
    for (const name of [
      "guest/out",
      "guest/deep/out",
      "guest/out/file",
      "to-guest/out",
      "to-guest/out/file",
    ]) {
      const source = join(root, name);
      const refusal = { reason: "share-source-linked", message: /where VM builder may write$/ };
      await assert.rejects(openSource({ source, guestPlaces }), refusal, name);
      await using seen = await openSource({ source });
      assert.deepEqual(await readdir(`/proc/self/fd/${seen.fd}`), ["file"]);
    }
  });

  it("is not found by such a link under another name of where that guest writes", async (t) => {
    if (process.getuid?.() !== 0) return t.diagnostic("it takes root to mount");
    const [written, alias] = [join(root, "written"), join(root, "alias")];
    for (const path of [written, alias]) await mkdir(path);
    await symlink("../dir", join(written, "out"));
    assert.equal(spawnSync("mount", ["--bind", written, alias]).status, 0);
    try {
      const guestPlaces = () => [{ path: written, vm: "builder" }];
      const refusal = { reason: "share-source-linked" };
      await assert.rejects(openSource({ source: join(alias, "out"), guestPlaces }), refusal);
    } finally {
      spawnSync("umount", ["--lazy", alias]);
    }
  });

  it("is found by the user's own links beside what the guest writes", async () => {
    await mkdir(join(root, "proj/data"), { recursive: true });
    await symlink("proj", join(root, "current"));
    const places = [join(root, "current"), join(root, "to-dir")].map((path) => ({ path, vm: "builder" }));
    const guestPlaces = () => places;
    for (const name of ["current", "current/data", "current/../dir", "current/./data/", "to-file"]) {
      const source = join(root, name);
      await using seen = await openSource({ source, guestPlaces });
      assert.ok(seen.fd > 0, name);
    }
  });
});
