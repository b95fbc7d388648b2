import assert from "node:assert/strict";
import {
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { reclaimDirectory } from "./reclaim.js";

const STRANGER = 54_323;
const skip = process.getuid?.() !== 0 && "only root can give directories away";

describe("reclaimDirectory", { skip }, () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-reclaim-"));
    await writeFile(join(root, "secret"), "secret");
  });
  after(() => rm(root, { recursive: true, force: true }));

  it("takes a VM's directory over and removes what its user planted", async () => {
    const path = join(root, "vmm");
    await mkdir(path);
    await writeFile(join(path, "console.log.1"), "kept");
    await mkdir(join(path, "jail"));
    await symlink(join(root, "secret"), join(path, "console.log"));
    await link(join(root, "secret"), join(path, "netguard.so"));
    await symlink("jail", join(path, "j"));
    for (const name of ["console.log", "console.log.1"]) await lchown(join(path, name), STRANGER, STRANGER);
    await chown(path, STRANGER, STRANGER);
    assert.deepEqual((await reclaimDirectory(path)).sort(), ["console.log", "netguard.so"]);
    assert.deepEqual((await readdir(path)).sort(), ["console.log.1", "j", "jail"]);
    const { uid, mode } = await lstat(path);
    assert.deepEqual([uid, mode & 0o777], [0, 0o700]);
  });

  it("cleans a directory whose taking over was cut, at any point", async () => {
    const path = join(root, "cut");
    await mkdir(path);
    for (const name of ["console.log", "qmp.sock"]) {
      await symlink(join(root, "secret"), join(path, name));
      await lchown(join(path, name), STRANGER, STRANGER);
    }
    // A user whose group is kilnd's own, as earlier releases' were.
    await chown(path, STRANGER, 0);
    for (const killedAt of [0, 1]) {
      let calls = 0;
      const killed = async (...args: Parameters<typeof rm>) => {
        if (calls++ === killedAt) throw new Error("killed");
        await rm(...args);
      };
      await assert.rejects(reclaimDirectory(path, killed), /killed/);
      assert.equal((await lstat(path)).mode & 0o777, 0o700);
    }
    assert.equal((await reclaimDirectory(path)).length, 1);
    assert.deepEqual(await readdir(path), []);
    const { uid, gid } = await lstat(path);
    assert.deepEqual([uid, gid], [0, 0]);
  });

  it("leaves what is kilnd's own alone, and follows no link", async () => {
    const path = join(root, "own");
    await mkdir(path);
    await symlink("elsewhere", join(path, "link"));
    assert.deepEqual(await reclaimDirectory(path), []);
    assert.deepEqual(await readdir(path), ["link"]);
    assert.deepEqual(await reclaimDirectory(join(root, "missing")), []);
    await symlink("own", join(root, "to-own"));
    await assert.rejects(reclaimDirectory(join(root, "to-own")), (error) =>
      hasReason(error, "not-as-expected"),
    );
  });
});
