import assert from "node:assert/strict";
import { it } from "node:test";
import { fakeContext } from "./fake-context.js";
import { formatNote } from "./report.js";

it("shows a note that a guest has written without its control characters", async () => {
  assert.equal(formatNote("kiln: \x1b]0;pwn\x07a\tb"), "kiln: \ufffd]0;pwn\ufffda\tb\n");
  const world = fakeContext();
  await world.context.note("kiln: \x1b[2J");
  assert.equal(world.stderr, "kiln: \ufffd[2J\n");
});
