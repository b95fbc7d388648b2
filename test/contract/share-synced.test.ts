// What a program has synced is on the host's disk: each of its syncs is one of the server's.

import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { NineCalls } from "../fixtures/nine-calls.js";
import { T, u32 } from "../fixtures/nine-client.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";

describe("kiln-share: what is synced", { skip: skipWithoutCargo() }, () => {
  let bench: ShareBench;
  let nine: NineCalls;
  let trace = "";
  before(async () => {
    // -D: the server stays this process's child, and strace watches beside it.
    trace = join(tmpdir(), `kiln-synced-${process.pid}`);
    const calls = "trace=fsync,fdatasync,openat,pwrite64";
    bench = await ShareBench.open({ within: ["strace", "-D", "-f", "-qq", "-y", "-e", calls, "-o", trace] });
    nine = await bench.calls();
  });
  after(async () => {
    await bench[Symbol.asyncDispose]();
    await rm(trace, { force: true });
  });

  /** The server's calls of that name on a file, as strace tells them. */
  const seen = async (call: string, file: string) =>
    (await readFile(trace, "utf8"))
      .split("\n")
      .filter((line) => line.includes(` ${call}(`) && line.includes(`/${file}>`)).length;

  it("reaches the host's disk before it is answered", async () => {
    const fid = await nine.create(0, "synced");
    await nine.write(fid, 0, "x");
    assert.equal(await seen("fsync", "synced"), 0);
    await nine.fsync(fid);
    assert.equal(await seen("fsync", "synced"), 1);
    await nine.client.ask(T.fsync, [u32(fid), u32(1)]);
    assert.deepEqual([await seen("fsync", "synced"), await seen("fdatasync", "synced")], [1, 1]);
  });
});
