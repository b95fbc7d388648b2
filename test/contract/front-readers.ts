// What front-exec and front-run ask of a client whose output is not read.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { eventually } from "../e2e/harness.js";
import type { FakeKilnd } from "../fixtures/fake-kilnd.js";

/** The child carries a program that floods with 50,000,000 bytes: it is held back while nobody reads, and loses none. */
export async function holdsBack(kilnd: FakeKilnd, start: () => ChildProcess): Promise<void> {
  const before = kilnd.produced;
  const child = start();
  await once(child.stdout ?? child, "readable");
  let produced = -1;
  await eventually("nothing more is produced", async () => {
    const still = produced === kilnd.produced - before;
    produced = kilnd.produced - before;
    return still || undefined;
  });
  assert.ok(produced < 10_000_000, `${produced} bytes were produced for a reader that waits`);
  let read = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    read += chunk.length;
  });
  const [code] = await once(child, "close");
  assert.deepEqual([code, read], [0, 50_000_000]);
}
