import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { findImage, findModules, resolveInside } from "./tree.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-tree-"));
  await mkdir(join(root, "boot"));
});
afterEach(() => rm(root, { recursive: true }));

describe("paths in a hostile tree", () => {
  it("follow absolute links inside the root", async () => {
    await writeFile(join(root, "boot/vmlinux-5.10.51"), "k");
    await symlink("/boot/vmlinux-5.10.51", join(root, "boot/vmlinux"));
    assert.equal(await resolveInside(root, "boot/vmlinux"), join(root, "boot/vmlinux-5.10.51"));
  });

  it("never leave the root by links that climb", async () => {
    await symlink("../../../../../../../../etc", join(root, "boot/up"));
    assert.equal(await resolveInside(root, "boot/up/passwd"), undefined);
    assert.equal(await resolveInside(root, "../../boot"), join(root, "boot"));
  });

  it("end where links go round in circles", async () => {
    await symlink("b", join(root, "a"));
    await symlink("a", join(root, "b"));
    assert.equal(await resolveInside(root, "a"), undefined);
  });
});

describe("finding a kernel in a tree", () => {
  it("prefers the uncompressed vmlinux", async () => {
    for (const name of ["vmlinuz-6.1", "vmlinux-6.1", "config-6.1"]) {
      await writeFile(join(root, "boot", name), "k");
    }
    assert.equal(await findImage(root), join(root, "boot/vmlinux-6.1"));
  });

  it("takes no link that points outside for a kernel", async () => {
    await symlink("/etc/passwd", join(root, "boot/vmlinux"));
    await assert.rejects(findImage(root), /there is no \/boot\/vmlinux/);
  });

  it("finds modules below a merged /usr", async () => {
    await mkdir(join(root, "usr/lib/modules/6.1"), { recursive: true });
    await symlink("usr/lib", join(root, "lib"));
    assert.equal(await findModules(root, "6.1"), join(root, "usr/lib/modules/6.1"));
  });

  it("finds no modules of another release", async () => {
    await mkdir(join(root, "lib/modules/6.1"), { recursive: true });
    assert.equal(await findModules(root, "6.2"), undefined);
  });
});
