// The users of VMs where kilnd is root: two daemons with roots of their own never give two VMs the same one, and
// records that do have it (of a release without a registry, of a copied data root) are told apart before a start.

import assert from "node:assert/strict";
import { chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

const skip = process.getuid?.() === 0 ? false : "users are given by a kilnd of root only";

describe("two kilnds of root", { skip }, () => {
  let registry = "";
  let one: TestKiln;
  let two: TestKiln;
  let image = "";
  before(async () => {
    registry = await mkdtemp(join(tmpdir(), "kt-users-"));
    const daemonArgs = [`--vm-user-registry=${registry}`];
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
