import assert from "node:assert/strict";
import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { closedParents, createUserPerVm, OWN_USER } from "./ownership.js";
import type { UserRegistry } from "./user-registry.js";

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-owner-"));
});
after(() => rm(directory, { recursive: true, force: true }));

describe("a user for each VM", () => {
  const range = { firstUid: 100, count: 3 };
  const registry = {} as UserRegistry;

  it("has a group of its own: none is shared by which one VM's files were another's", () => {
    assert.deepEqual(createUserPerVm(registry, range).runAs(101), { uid: 101, gid: 101 });
  });

  it("shares a file in a directory that is shut, also what an earlier release left open to a group", {
    skip: process.getuid?.() !== 0 && "not root",
  }, async () => {
    const users = createUserPerVm(registry, range);
    const [place, file] = [join(directory, "bases"), join(directory, "bases/base")];
    await mkdir(place, { mode: 0o711 });
    await writeFile(file, "", { mode: 0o440 });
    await chown(file, 0, 99);
    await users.shut(place);
    await users.shareReadOnly(file);
    assert.equal((await stat(place)).mode & 0o777, 0o700);
    const { mode, gid } = await stat(file);
    assert.deepEqual([mode & 0o777, gid], [0o444, 0]);
  });

  it("lends a file to one that writes, and then to any that read", {
    skip: process.getuid?.() !== 0 && "not root",
  }, async () => {
    const users = createUserPerVm(registry, range);
    const file = join(directory, "volume");
    await writeFile(file, "");
    const seen = async () => {
      const { uid, gid, mode } = await stat(file);
      return [uid, gid, mode & 0o777];
    };
    await users.lend(file, 101, { readOnly: false });
    assert.deepEqual(await seen(), [101, 101, 0o600]);
    await users.lend(file, 102, { readOnly: true });
    assert.deepEqual(await seen(), [0, 0, 0o444]);
  });

  it("owns what its range has, and what root runs", () => {
    const users = createUserPerVm(registry, range);
    const uids = [99, 100, 102, 103, process.getuid?.() ?? 0];
    assert.deepEqual(
      uids.map((uid) => users.owns(uid)),
      [false, true, true, false, true],
    );
  });

  it("opens a directory for passing through whatever the umask", async () => {
    const path = join(directory, "passage");
    await mkdir(path, { mode: 0o700 });
    await createUserPerVm(registry, range).openPassage(path);
    assert.equal((await stat(path)).mode & 0o777, 0o711);
  });
});

describe("kilnd's own user", () => {
  it("allocates nothing", async () => {
    assert.equal(await OWN_USER.allocate("vm"), undefined);
    assert.equal(OWN_USER.runAs(undefined), undefined);
  });
});

describe("closedParents", () => {
  it("names the directories that others can't enter", async () => {
    const closed = join(directory, "closed");
    const inner = join(closed, "inner");
    await mkdir(inner, { recursive: true });
    await chmod(directory, 0o755);
    await chmod(inner, 0o711);
    await chmod(closed, 0o700);
    assert.deepEqual(await closedParents(inner), [closed]);
    await chmod(closed, 0o711);
    assert.deepEqual(await closedParents(inner), []);
  });
});
