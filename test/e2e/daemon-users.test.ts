// The users of VMs where kilnd is root: two daemons with roots of their own never give two VMs the same one, out of the
// host's registry as out of one that is named; and records that do have the same (of a release without a registry, of a
// copied data root) are told apart before a start.

import assert from "node:assert/strict";
import { chown, mkdtemp, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

/** Where it lies unless it is named: one of the host's, whatever the data root is. */
const HOST_REGISTRY = "/var/lib/kiln-host/users";
const skip = process.getuid?.() === 0 ? false : "users are given by a kilnd of root only";

describe("two kilnds of root", { skip }, () => {
  let registry = "";
  /** Of both, at their next start. */
  const daemonArgs: string[] = [];
  let one: TestKiln;
  let two: TestKiln;
  let image = "";
  before(async () => {
    registry = await mkdtemp(join(tmpdir(), "kt-users-"));
    [one, two] = await Promise.all([TestKiln.start({ daemonArgs }), TestKiln.start({ daemonArgs })]);
    image = await busyboxImage(join(registry, "busybox"));
  });
  after(async () => {
    await Promise.all([one.dispose(), two.dispose()]);
    await rm(registry, { recursive: true, force: true });
  });

  const create = async (kiln: TestKiln, name: string) =>
    (await kiln.ok(["create", "--name", name, "-m", "128m", image, "sleep", "1000"])).trim();
  const file = (kiln: TestKiln, id: string, name: string) => join(kiln.root, "data/vms", id, name);
  const userOf = async (kiln: TestKiln, id: string) =>
    JSON.parse(await readFile(file(kiln, id, "vm.json"), "utf8")).uid as number;

  const claimOf = async (uid: number) =>
    JSON.parse(await readFile(join(HOST_REGISTRY, String(uid)), "utf8")) as { dataRoot: string; vm: string };

  it("take users out of the host's registry where none is named", async () => {
    const users: number[] = [];
    for (const kiln of [one, two]) {
      const vm = await create(kiln, "claimed");
      const uid = await userOf(kiln, vm);
      const claim = await claimOf(uid);
      assert.deepEqual([claim.dataRoot, claim.vm], [await realpath(join(kiln.root, "data")), vm]);
      users.push(uid);
    }
    assert.notEqual(users[0], users[1]);
    daemonArgs.push(`--vm-user-registry=${registry}`);
    for (const kiln of [one, two]) {
      await kiln.ok(["rm", "claimed"]);
      await kiln.stopDaemon();
      await kiln.startDaemon();
    }
  });

  it("give every VM a user of its own", async () => {
    const ids = await Promise.all(
      [one, two, one, two].map(async (kiln, n) => ({ kiln, id: await create(kiln, `vm${n}`) })),
    );
    const users = await Promise.all(ids.map(({ kiln, id }) => userOf(kiln, id)));
    assert.equal(new Set(users).size, 4, String(users));
    for (const [n, { kiln, id }] of ids.entries()) {
      assert.equal((await stat(file(kiln, id, "cow"))).uid, users[n]);
      await kiln.ok(["rm", id]);
    }
  });

  it("tell VMs apart that have the same user, and give the later one's disk to its new one", async () => {
    const [mine, theirs] = [await create(one, "first"), await create(two, "second")];
    const uid = await userOf(one, mine);
    await two.stopDaemon();
    const record = JSON.parse(await readFile(file(two, theirs, "vm.json"), "utf8"));
    await writeFile(file(two, theirs, "vm.json"), JSON.stringify({ ...record, uid }));
    await chown(file(two, theirs, "cow"), uid, uid);
    await two.startDaemon();
    await two.ok(["ps", "-a"]);
    const other = await userOf(two, theirs);
    assert.notEqual(other, uid);
    assert.equal((await stat(file(two, theirs, "cow"))).uid, other);
    assert.deepEqual([await userOf(one, mine), (await stat(file(one, mine, "cow"))).uid], [uid, uid]);
    await two.ok(["start", "second"]);
    assert.equal(await two.ok(["exec", "second", "echo", "here"]), "here\n");
  });
});
