// A server that dies between any two steps: what the guest asked for is done once. The test is the guest and its bridge.

import assert from "node:assert/strict";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LOCK, NineCalls, O } from "../fixtures/nine-calls.js";
import { HungUp, type NineClient, T, text, u32, u64 } from "../fixtures/nine-client.js";
import { refused } from "../fixtures/nine-errors.js";
import { seededRandom } from "../fixtures/seeded-random.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";
import { BusyGuest } from "./share-busy-guest.js";

const POINTS = ["begun", "acted", "done"] as const;

/** One request that must not be done twice. */
interface Operation {
  readonly name: string;
  readonly type: number;
  /** What is there before. */
  prepare?(nine: NineCalls): Promise<void>;
  /** Fids beside the root that it uses, by their paths. */
  readonly fids?: Readonly<Record<number, readonly string[]>>;
  readonly parts: readonly Buffer[];
  /** What a second one, byte for byte the same, is refused with. */
  readonly twice: "EEXIST" | "ENOENT" | "EBADF";
  check(root: string): Promise<void>;
}

const touch = (nine: NineCalls, name: string) => nine.create(0, name).then((fid) => nine.clunk(fid));
const absent = (path: string) => assert.rejects(lstat(path), { code: "ENOENT" });

const OPERATIONS: readonly Operation[] = [
  {
    name: "create-exclusive",
    type: T.lcreate,
    fids: { 50: [] },
    parts: [u32(50), text("new"), u32(O.rdwr | O.excl), u32(0o640), u32(0)],
    twice: "EBADF",
    check: async (root) => assert.equal((await stat(join(root, "new"))).mode & 0o7777, 0o640),
  },
  {
    name: "create",
    type: T.lcreate,
    fids: { 50: [] },
    parts: [u32(50), text("new"), u32(O.rdwr | O.trunc), u32(0o444), u32(0)],
    twice: "EBADF",
    check: async (root) => assert.equal((await stat(join(root, "new"))).mode & 0o7777, 0o444),
  },
  {
    name: "mkdir",
    type: T.mkdir,
    parts: [u32(0), text("new"), u32(0o750), u32(0)],
    twice: "EEXIST",
    check: async (root) => assert.ok((await stat(join(root, "new"))).isDirectory()),
  },
  {
    name: "symlink",
    type: T.symlink,
    parts: [u32(0), text("new"), text("target"), u32(0)],
    twice: "EEXIST",
    check: async (root) => assert.equal(await readlink(join(root, "new")), "target"),
  },
  {
    name: "mknod",
    type: T.mknod,
    parts: [u32(0), text("new"), u32(0o010600), u32(0), u32(0), u32(0)],
    twice: "EEXIST",
    check: async (root) => assert.ok((await lstat(join(root, "new"))).isFIFO()),
  },
  {
    name: "link",
    type: T.link,
    prepare: (nine) => touch(nine, "old").then(() => undefined),
    fids: { 50: ["old"] },
    parts: [u32(0), u32(50), text("new")],
    twice: "EEXIST",
    check: async (root) => assert.equal((await stat(join(root, "new"))).nlink, 2),
  },
  {
    name: "rename",
    type: T.renameat,
    prepare: async (nine) => {
      await touch(nine, "old");
      await touch(nine, "new");
    },
    parts: [u32(0), text("old"), u32(0), text("new")],
    twice: "ENOENT",
    check: async (root) => assert.deepEqual(await readdir(root), ["new"]),
  },
  {
    name: "unlink",
    type: T.unlinkat,
    prepare: (nine) => touch(nine, "old").then(() => undefined),
    parts: [u32(0), text("old"), u32(0)],
    twice: "ENOENT",
    check: (root) => absent(join(root, "old")),
  },
  {
    name: "rmdir",
    type: T.unlinkat,
    prepare: (nine) => nine.mkdir(0, "old").then(() => undefined),
    parts: [u32(0), text("old"), u32(0x200)],
    twice: "ENOENT",
    check: (root) => absent(join(root, "old")),
  },
];

/** A guest whose server dies at that point of that request, and another that finds it so. */
async function dieAndGoOn(bench: ShareBench, operation: Operation, point: string): Promise<void> {
  const { type, parts, fids } = operation;
  const first = await bench.calls();
  await operation.prepare?.(first);
  await bench.kill();
  // What prepares may be of the same kind: only from here on it is deadly.
  bench.start({ KILN_SHARE_DIE: `${point}:${type}` });
  const before = await bench.resume(fids);
  await before.replay(first.client);
  await assert.rejects(before.ask(type, parts, 77), HungUp);
  bench.start();
  const after = await bench.resume(fids);
  const [answer] = await after.replay(before);
  await answer;
  await operation.check(bench.root);
  await refused(after.ask(type, parts, 77), operation.twice);
  await operation.check(bench.root);
}

describe("kiln-share: a server that dies has done each request once", { skip: skipWithoutCargo() }, () => {
  for (const operation of OPERATIONS) {
    for (const point of POINTS) {
      // What may be there already is opened again without harm: nothing is noted before.
      if (operation.name === "create" && point !== "done") continue;
      it(`${operation.name}, dead when it is ${point}`, async () => {
        await using bench = await ShareBench.open();
        await dieAndGoOn(bench, operation, point);
      });
    }
  }

  it("an attribute that is made or removed", async () => {
    for (const [flags, value] of [
      [1, "value"],
      [2, ""],
    ] as const) {
      for (const point of POINTS) {
        await using bench = await ShareBench.open();
        const first = await bench.calls();
        const fid = await first.create(0, "file");
        if (flags === 2) await first.setxattr(fid, "user.a", "old");
        await bench.kill();
        bench.start({ KILN_SHARE_DIE: `${point}:${T.clunk}` });
        const set = async (client: NineClient) => {
          await client.askAside(T.xattrcreate, [u32(50), text("user.a"), u64(value.length), u32(flags)]);
          if (value !== "")
            await client.askAside(T.write, [u32(50), u64(0), u32(value.length), Buffer.from(value)]);
        };
        const before = await bench.resume({ 50: ["file"] });
        await set(before);
        await before.replay(first.client);
        await assert.rejects(before.ask(T.clunk, [u32(50)], 77), HungUp);
        bench.start();
        const after = await bench.resume({ 50: ["file"], 51: ["file"] });
        await set(after);
        const [answer] = await after.replay(before);
        await answer;
        const nine = new NineCalls(after);
        if (flags === 1) assert.equal((await nine.getxattr(51, "user.a")).toString(), value);
        else await refused(nine.getxattr(51, "user.a"), "ENODATA");
      }
    }
  });

  it("the same bytes again, which the dead server had not read, are another request", async () => {
    await using bench = await ShareBench.open();
    const first = await bench.calls();
    const mkdir = [u32(0), text("x"), u32(0o755), u32(0)];
    await first.client.ask(T.mkdir, mkdir, 77);
    await first.unlink(0, "x", 0x200);
    bench.process.kill("SIGSTOP");
    const lost = assert.rejects(first.client.ask(T.mkdir, mkdir, 77), HungUp);
    await bench.kill();
    await lost;
    bench.start();
    const after = await bench.resume();
    const [answer] = await after.replay(first.client);
    await answer;
    assert.ok((await stat(join(bench.root, "x"))).isDirectory());
  });

  it("a mount that began in the middle of a connection counts from its own beginning", async () => {
    await using bench = await ShareBench.open({ env: { KILN_SHARE_DIE: `done:${T.symlink}` } });
    const first = await bench.calls();
    for (const name of ["a", "b", "c"]) await first.mkdir(0, name);
    first.client.begin();
    await first.start();
    const symlink = first.client.ask(T.symlink, [u32(0), text("d"), text("x"), u32(0)], 77);
    await assert.rejects(symlink, HungUp);
    bench.start({ KILN_SHARE_DIE: "" });
    const [answer] = await (await bench.resume()).replay(first.client);
    await answer;
  });

  it("a file of mode 0444 that was being written is written on, and no other is", async () => {
    await using bench = await ShareBench.open();
    const first = await bench.calls();
    const fid = await first.create(0, "object", O.rdwr | O.excl, 0o444);
    await first.write(fid, 0, "begun, ");
    await bench.kill();
    bench.start();
    const after = await bench.resume({ 50: ["object"], 51: ["object"] });
    await after.askAside(T.lopen, [u32(50), u32(O.rdwr)]);
    await after.replay(first.client);
    const nine = new NineCalls(after);
    await nine.write(50, 7, "done");
    assert.equal(await readFile(join(bench.root, "object"), "utf8"), "begun, done");
    assert.equal((await stat(join(bench.root, "object"))).mode & 0o7777, 0o444);
    await refused(nine.lopen(51, O.rdwr), "EACCES");
  });

  it("a lock that is taken again holds, and one that was asked for is granted", async () => {
    await using bench = await ShareBench.open();
    const first = await bench.calls();
    for (const name of ["a", "b"]) await first.create(0, name);
    assert.equal(await first.lock(await first.open(O.rdwr, "a"), LOCK.write, 7), 0);
    const wanted = await first.open(O.rdwr, "b");
    bench.process.kill("SIGSTOP");
    const asked = assert.rejects(first.lock(wanted, LOCK.write, 7), HungUp);
    await bench.kill();
    await asked;
    bench.start();
    const fids = { 50: ["a"], 51: ["a"], [wanted]: ["b"], 53: ["b"] };
    const after = await bench.resume(fids);
    for (const fid of Object.keys(fids)) await after.askAside(T.lopen, [u32(Number(fid)), u32(O.rdwr)]);
    const lock = [u32(50), Buffer.from([LOCK.write]), u32(0), u64(0), u64(0), u32(7), text("guest")];
    assert.equal((await after.askAside(T.lock, lock)).readUInt8(0), 0);
    const [answer] = await after.replay(first.client);
    assert.equal((await answer)?.readUInt8(0), 0);
    const nine = new NineCalls(after);
    assert.equal(await nine.lock(51, LOCK.write, 8), 1);
    assert.equal(await nine.lock(53, LOCK.write, 8), 1);
  });

  it("whatever is in flight, killed at random moments", async (t) => {
    const seed = Number(process.env.KILN_SHARE_SEED ?? Date.now() % 2 ** 31);
    t.diagnostic(`seed ${seed}`);
    await using bench = await ShareBench.open();
    const guest = new BusyGuest(bench, seededRandom(seed));
    await guest.run(60);
    t.diagnostic(`${guest.asked} requests, ${guest.deaths} deaths, ${guest.again} sent again`);
    assert.ok(guest.deaths > 10 && guest.again > 20, "nothing was tried");
    await guest.check();
  });
});
