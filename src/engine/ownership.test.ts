import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
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
  const range = { firstUid: 100, count: 3, gid: 99 };
  const registry = {} as UserRegistry;

  it("shares one group", () => {
    assert.deepEqual(createUserPerVm(registry, range).runAs(101), { uid: 101, gid: 99 });
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
