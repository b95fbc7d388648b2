import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs, { mkdir, mkdtemp, readdir, readFile, realpath, rm, utimes, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { UserRegistry } from "./user-registry.js";

const RANGE = { firstUid: 100, count: 3 };
const id = (letter: string) => letter.repeat(64);

let scratch = "";
beforeEach(async () => {
  scratch = await realpath(await mkdtemp(join(tmpdir(), "kiln-users-")));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

/** As the kilnd of that data root sees it. */
async function registryOf(root: string, range = RANGE): Promise<UserRegistry> {
  await mkdir(join(scratch, root, "vms"), { recursive: true });
  return UserRegistry.open(join(scratch, "host/users"), join(scratch, root), range);
}

const makeVm = (root: string, vm: string) => mkdir(join(scratch, root, "vms", vm));

/** A claim as a kilnd that has ended left it. */
async function claimOfTheDead(uid: number, root: string, vm: string): Promise<void> {
  const claim = { dataRoot: join(scratch, root), vm, by: { pid: 1, startTime: "none" } };
  await writeFile(join(scratch, "host/users", String(uid)), JSON.stringify(claim));
}

describe("the registry of VMs' users", () => {
  it("gives no user twice, whatever the data root", async () => {
    const [one, two] = [await registryOf("a"), await registryOf("b")];
    const uids = await Promise.all([
      one.allocate(id("1")),
      two.allocate(id("2")),
      // The same VM in a copy of a data root is another VM.
      two.allocate(id("1")),
    ]);
    assert.deepEqual(uids.sort(), [100, 101, 102]);
    await assert.rejects(one.allocate(id("4")), (error) => hasReason(error, "no-user-id-left"));
    await one.release(id("2"), uids[0] ?? 0);
    await assert.rejects(one.allocate(id("4")), "another's user can't be given back");
  });

  it("is one for processes that ask at the same time", async () => {
    const url = new URL("./user-registry.js", import.meta.url).href;
    const [directory, range] = [join(scratch, "host/users"), { firstUid: 100, count: 1000 }];
    const program = `
      const { UserRegistry } = await import(${JSON.stringify(url)});
      const registry = await UserRegistry.open(process.argv[1], process.argv[2], ${JSON.stringify(range)});
      const ids = Array.from({ length: 20 }, (_, n) => String(n % 10).repeat(64));
      console.log(JSON.stringify(await Promise.all(ids.map((vm) => registry.allocate(vm)))));`;
    const uids = await Promise.all(
      ["a", "b", "c"].map(async (root) => {
        await mkdir(join(scratch, root), { recursive: true });
        const args = ["--input-type=module", "-e", program, directory, join(scratch, root)];
        const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
        let text = "";
        child.stdout.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        await once(child, "close");
        return JSON.parse(text) as number[];
      }),
    );
    assert.equal(new Set(uids.flat()).size, 60);
    assert.deepEqual(
      (await readdir(directory)).filter((name) => !/^\d+$/.test(name)),
      [],
    );
  });

  it("leaves a VM the user that it has, and takes the one of a release without a registry for its own", async () => {
    const one = await registryOf("a");
    assert.equal(await one.hold(id("1"), 101), 101);
    assert.equal(await one.hold(id("1"), 101), 101);
    assert.equal(await (await registryOf("a")).hold(id("1"), 101), 101, "after a restart");
  });

  it("gives a VM of a second data root with the same user a new one", async () => {
    const [one, two] = [await registryOf("a"), await registryOf("b")];
    await makeVm("a", id("1"));
    assert.equal(await one.hold(id("1"), 101), 101);
    const other = await two.hold(id("1"), 101);
    assert.ok(other === 100 || other === 102);
    assert.equal(await two.hold(id("1"), other), other);
  });

  it("lets no VM be one of this host's own users", async () => {
    const one = await registryOf("a");
    for (const foreign of [0, 99, 103, 1000]) {
      const uid = await one.hold(id("1"), foreign);
      assert.ok(uid >= 100 && uid < 103, `${uid}`);
      await one.release(id("1"), uid);
    }
  });

  it("gives users of VMs that are gone to others", async () => {
    const one = await registryOf("a", { ...RANGE, count: 1 });
    await claimOfTheDead(100, "no-such-root", id("1"));
    assert.equal(await one.allocate(id("2")), 100);
    await claimOfTheDead(100, "a", id("3"));
    assert.equal(await one.hold(id("4"), 100), 100);
    await writeFile(join(scratch, "host/users/100"), "{ torn");
    assert.equal(await one.allocate(id("5")), 100);
  });

  it("keeps users of VMs that no kilnd looks after just now", async () => {
    const one = await registryOf("a", { ...RANGE, count: 1 });
    await registryOf("b");
    await makeVm("b", id("1"));
    await claimOfTheDead(100, "b", id("1"));
    await one.tidy(new Map());
    await assert.rejects(one.allocate(id("2")), (error) => hasReason(error, "no-user-id-left"));
  });

  it("takes no claim away that is made where another was given back meanwhile", async (t) => {
    const [one, two] = [await registryOf("a"), await registryOf("b")];
    await two.hold(id("2"), 100);
    const place = join(scratch, "host/users/100");
    const { link, unlink } = fs;
    let isFree = false;
    let isClaimed = false;
    const claimFirst = async (path: string) => {
      if (!isFree || isClaimed || path !== place) return;
      isClaimed = true;
      await claimOfTheDead(100, "b", id("3"));
    };
    t.mock.method(fs, "link", async (from: string, to: string) => {
      await claimFirst(to);
      await link(from, to).catch(async (error: unknown) => {
        if (to === place && !isFree) await two.release(id("2"), 100);
        isFree ||= to === place;
        throw error;
      });
    });
    t.mock.method(fs, "unlink", async (path: string) => {
      await claimFirst(path);
      await unlink(path);
    });
    syncBuiltinESMExports();
    try {
      assert.notEqual(await one.hold(id("1"), 100), 100);
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
    assert.ok((await readFile(place, "utf8")).includes(id("3")), "the other's claim");
  });

  it("leaves what a living kilnd has claimed, also where its VM is not there yet", async () => {
    const [one, two] = [
      await registryOf("a", { ...RANGE, count: 1 }),
      await registryOf("b", { ...RANGE, count: 1 }),
    ];
    assert.equal(await one.allocate(id("1")), 100);
    // As after an unmount: it goes on, and gives back by itself what it has.
    await rm(join(scratch, "a"), { recursive: true });
    await two.tidy(new Map());
    await assert.rejects(two.allocate(id("2")), (error) => hasReason(error, "no-user-id-left"));
    await one.release(id("1"), 100);
    assert.equal(await two.allocate(id("2")), 100);
  });

  it("removes at a start what killed kilnds left half made, and nothing that is in the making", async () => {
    const one = await registryOf("a");
    const [old, young] = ["100.tmp-0123456789ab", "101.tmp-0123456789ab"];
    for (const name of [old, young]) await writeFile(join(scratch, "host/users", name), "{");
    await utimes(join(scratch, "host/users", old), 1, 1);
    await one.tidy(new Map());
    const left = await readdir(join(scratch, "host/users"));
    assert.deepEqual([left.includes(old), left.includes(young)], [false, true]);
  });

  it("forgets at a start what none of this root's VMs has", async () => {
    const one = await registryOf("a");
    await makeVm("a", id("1"));
    const [kept, lost] = [await one.allocate(id("1")), await one.allocate(id("2"))];
    await one.tidy(new Map([[id("1"), kept]]));
    const left = await readdir(join(scratch, "host/users"));
    assert.deepEqual([left.includes(String(kept)), left.includes(String(lost))], [true, false]);
  });
});
