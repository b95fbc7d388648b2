// Whatever a guest may send, at random: by iterations, the seed printed, and a failure comes again with it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { NineCalls } from "../fixtures/nine-calls.js";
import { HungUp, message, T, text, u8, u16, u32, u64 } from "../fixtures/nine-client.js";
import { type SeededRandom, seededRandom } from "../fixtures/seeded-random.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";

const MESSAGES = Number(process.env.KILN_SHARE_FUZZ ?? 100_000);
const ROUND = 500;
/** What the server may not hold on to, whatever it is asked. */
const MEMORY_KIB = 128 * 1024;

const TYPES = Object.values(T).filter((type) => type !== T.told && type !== T.version);
const NAMES = [
  "a",
  "b",
  "c",
  "dir",
  "dir/a",
  "..",
  ".",
  "",
  "/etc/passwd",
  "out",
  "abs",
  "x".repeat(300),
  "n\0l",
  "user.a",
];
const NUMBERS = [0, 1, 2, 3, 7, 0o644, 0o6777, 0o100644, 0o010600, 0o020666, 4096, 0x7fffffff, 0xffffffff];
const LONG = [0n, 1n, 4096n, 1n << 31n, 1n << 40n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n];

/** Fields in a random order of a random kind; half the time what that type wants, so that it gets further. */
function body(random: SeededRandom, type: number): Buffer[] {
  const pick = <Value>(values: readonly Value[]) => values[random.below(values.length)] as Value;
  const fid = () => u32(random.below(24));
  const name = () => (random.below(20) === 0 ? text(random.bytes(random.below(20))) : text(pick(NAMES)));
  const number = () => u32(pick(NUMBERS));
  const long = () => u64(pick(LONG));
  const data = () => {
    const bytes = random.bytes(random.below(200));
    return Buffer.concat([u32(random.below(20) === 0 ? 0xffffffff : bytes.length), bytes]);
  };
  const names = () => {
    const count = random.below(4);
    return Buffer.concat([
      u16(random.below(30) === 0 ? 60_000 : count),
      ...Array.from({ length: count }, name),
    ]);
  };
  const shapes: Record<number, (() => Buffer)[]> = {
    [T.statfs]: [fid],
    [T.lopen]: [fid, number],
    [T.lcreate]: [fid, name, number, number, number],
    [T.symlink]: [fid, name, name, number],
    [T.mknod]: [fid, name, number, number, number, number],
    [T.readlink]: [fid],
    [T.getattr]: [fid, long],
    [T.setattr]: [fid, number, number, number, number, long, long, long, long, long],
    [T.xattrwalk]: [fid, fid, name],
    [T.xattrcreate]: [fid, name, long, number],
    [T.readdir]: [fid, long, number],
    [T.fsync]: [fid, number],
    [T.lock]: [fid, () => u8(random.below(4)), number, long, long, number, name],
    [T.getlock]: [fid, () => u8(random.below(4)), long, long, number, name],
    [T.link]: [fid, fid, name],
    [T.mkdir]: [fid, name, number, number],
    [T.renameat]: [fid, name, fid, name],
    [T.unlinkat]: [fid, name, () => u32(pick([0, 0, 0x200, 7]))],
    [T.attach]: [fid, () => u32(0xffffffff), name, name, number],
    [T.flush]: [() => u16(1000 + random.below(1200))],
    [T.walk]: [fid, fid, names],
    [T.read]: [fid, long, number],
    [T.write]: [fid, long, data],
    [T.clunk]: [fid],
    [T.remove]: [fid],
    [T.replay]: [long, () => u16(random.below(3)), () => u16(random.below(1000)), long],
  };
  const shape = shapes[type] ?? [number, name, long];
  const parts = shape.map((field) => field());
  if (random.below(12) === 0) parts.push(random.bytes(random.below(40)));
  if (random.below(12) === 0) parts.pop();
  return random.below(25) === 0 ? [random.bytes(random.below(100))] : parts;
}

describe("kiln-share: random messages", { skip: skipWithoutCargo() }, () => {
  it("are answered, leave the server as it was, and do nothing outside", async (t) => {
    const seed = Number(process.env.KILN_SHARE_SEED ?? Date.now() % 2 ** 31);
    t.diagnostic(`seed ${seed}, ${MESSAGES} messages`);
    const random = seededRandom(seed);
    await using bench = await ShareBench.open();
    await writeFile(join(bench.outside, "secret"), "secret");
    await bench.give(join(bench.outside, "secret"));
    await symlink("../outside", join(bench.root, "out"));
    await symlink(bench.outside, join(bench.root, "abs"));
    const nine = await bench.calls(64 * 1024);
    for (let sent = 0; sent < MESSAGES; sent += ROUND) {
      const messages = Array.from({ length: ROUND }, () => {
        const type =
          random.below(30) === 0 ? random.below(248) : (TYPES[random.below(TYPES.length)] as number);
        // Not the tags of the test's own requests.
        return message(type === T.version ? T.walk : type, 1000 + random.below(1000), body(random, type));
      });
      nine.client.raw(Buffer.concat(messages));
      // It answers in order: this one comes behind them all.
      await nine.attach(1_000_000 + sent);
      await nine.clunk(1_000_000 + sent);
      if (random.below(10) === 0) await nine.start(64 * 1024);
    }
    const status = await readFile(`/proc/${bench.process.pid}/status`, "utf8");
    assert.ok(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) < MEMORY_KIB, status);
    assert.ok((await readdir(bench.root)).length > 3, "nothing was ever made");
    assert.deepEqual(await readdir(bench.outside), ["secret"]);
    assert.equal(await readFile(join(bench.outside, "secret"), "utf8"), "secret");
    const wrong = execFileSync("find", [
      bench.root,
      "(",
      "-type",
      "b",
      "-o",
      "-type",
      "c",
      "-o",
      "-type",
      "f",
      "-perm",
      "/6000",
      ")",
    ]);
    assert.equal(wrong.toString(), "");
  });

  it("that are cut anywhere end the session, and the next one is served", async (t) => {
    const seed = Number(process.env.KILN_SHARE_SEED ?? Date.now() % 2 ** 31);
    t.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    await using bench = await ShareBench.open();
    for (let round = 0; round < 40; round++) {
      const nine: NineCalls = await bench.calls();
      const whole = message(T.walk, 1, [u32(0), u32(1), u16(1), text("a")]);
      nine.client.raw(whole.subarray(0, random.below(whole.length)));
      nine.client.raw(Buffer.concat([u32(0xffffffff), random.bytes(2000)]));
      const answer = nine.getattr(0);
      nine.client.socket.end();
      await answer.then(
        () => undefined,
        (error) => assert.ok(error instanceof HungUp, String(error)),
      );
    }
    assert.ok((await (await bench.calls()).getattr(0)).mode > 0);
  });
});
