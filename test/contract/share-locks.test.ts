// Locks of the guest's processes against those of the host, which is where another VM's are too.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { LOCK, type NineCalls, O } from "../fixtures/nine-calls.js";
import { refused } from "../fixtures/nine-errors.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";

describe("kiln-share: locks", { skip: skipWithoutCargo() }, () => {
  let bench: ShareBench;
  let nine: NineCalls;
  before(async () => {
    bench = await ShareBench.open();
    nine = await bench.calls();
    for (const name of ["free", "held", "flushed", "many", "dropped"]) {
      await writeFile(join(bench.root, name), "");
      await bench.give(join(bench.root, name));
    }
  });
  after(() => bench[Symbol.asyncDispose]());

  /** A process of the host that holds the whole file, and lets go when its stdin ends. */
  async function hostHolds(name: string): Promise<ChildProcess> {
    const script = `
      import fcntl, sys
      file = open(sys.argv[1], "r+b")
      fcntl.lockf(file, fcntl.LOCK_EX)
      print("held", flush=True)
      sys.stdin.read()`.replaceAll("\n      ", "\n");
    const child = spawn("python3", ["-c", script, join(bench.root, name)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(child.stdout as NodeJS.ReadableStream, "data");
    return child;
  }

  it("are granted where nobody has any, and go with their process's unlock by any descriptor", async () => {
    const [first, second] = [await nine.open(O.rdwr, "free"), await nine.open(O.rdwr, "free")];
    assert.equal(await nine.lock(first, LOCK.write, 7), 0);
    assert.equal(await nine.lock(second, LOCK.write, 8), 1);
    assert.equal(await nine.getlock(second, LOCK.write, 8), LOCK.write);
    assert.equal(await nine.lock(second, LOCK.write, 7), 0, "one process has no conflict with itself");
    assert.equal(await nine.lock(second, LOCK.unlock, 7), 0);
    assert.equal(await nine.lock(second, LOCK.read, 8), 0);
    assert.equal(await nine.lock(first, LOCK.read, 7), 0);
    assert.equal(await nine.lock(first, LOCK.write, 7), 1);
    assert.equal(await nine.getlock(first, LOCK.read, 9), LOCK.unlock);
  });

  it("end with the last descriptor that they came by", async () => {
    const [first, second] = [await nine.open(O.rdwr, "dropped"), await nine.open(O.rdwr, "dropped")];
    assert.equal(await nine.lock(first, LOCK.write, 7), 0);
    assert.equal(await nine.lock(second, LOCK.write, 8), 1);
    await nine.clunk(first);
    assert.equal(await nine.lock(second, LOCK.write, 8), 0);
  });

  it("wait for the host's as long as it takes, and others are served meanwhile", async () => {
    const holder = await hostHolds("held");
    const fid = await nine.open(O.rdwr, "held");
    assert.equal(await nine.lock(fid, LOCK.write), 1);
    const waiting = nine.lock(fid, LOCK.write, 1, true);
    await nine.getattr(0);
    const winner = Promise.race([waiting.then(() => "granted"), nine.getattr(0).then(() => "served")]);
    assert.equal(await winner, "served");
    holder.stdin?.end();
    assert.equal(await waiting, 0);
    assert.equal(await nine.lock(await nine.open(O.rdonly, "held"), LOCK.read, 2), 1);
  });

  it("are waited for no more after a flush, which is answered, and not taken later", async () => {
    const holder = await hostHolds("flushed");
    const fid = await nine.open(O.rdwr, "flushed");
    const tag = 900;
    void nine.lock(fid, LOCK.write, 1, true, tag);
    await nine.flush(tag);
    nine.client.forget(tag);
    const gone = once(holder, "exit");
    holder.stdin?.end();
    await gone;
    assert.equal(await nine.lock(await nine.open(O.rdwr, "flushed"), LOCK.write, 2), 0);
    await nine.flush(12_345);
  });

  it("of too many waiting processes are asked for again by themselves", async () => {
    const holder = await hostHolds("many");
    const fid = await nine.open(O.rdwr, "many");
    const answers = Array.from({ length: 300 }, (_, index) =>
      nine.lock(fid, LOCK.write, index + 1, true, 1000 + index),
    );
    const first = await Promise.race(answers);
    assert.equal(first, 1, "some wait, the others are told to come again");
    holder.kill("SIGKILL");
    for (let index = 0; index < 300; index++) nine.client.forget(1000 + index);
    await nine.getattr(0);
  });

  it("have ranges that mean something", async () => {
    const fid = await nine.open(O.rdwr, "free");
    await refused(nine.lock(fid, 9), "EINVAL");
    await refused(nine.lock(0, LOCK.read), "EBADF");
  });
});
