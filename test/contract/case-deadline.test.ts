// A case of these tests that waits for ever ends its file, and is named.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { run } from "../e2e/harness.js";

const PRELOAD = fileURLToPath(new URL("../fixtures/case-deadline.js", import.meta.url));
const HANGS = `
const { describe, it } = require("node:test");
describe("a suite", () => {
  it("ends", () => undefined);
  it("turns a mocked clock on", ({ mock }) => {
    mock.timers.enable({ apis: ["setTimeout"] });
    mock.timers.tick(60_000);
  });
  it("waits", () => new Promise(() => setInterval(() => undefined, 100)));
});
`;

describe("a case of the tests that does not end", () => {
  it("ends its file and is named, with what was open", async () => {
    const directory = await mkdtemp(join(tmpdir(), "case-deadline-"));
    try {
      const file = join(directory, "hangs.test.js");
      await writeFile(file, HANGS);
      // Long enough for the case before it, which must end within its own time.
      const env = { ...process.env, KILN_TEST_CASE_MS: "2000", NODE_TEST_CONTEXT: "" };
      const { code, stderr } = await run([process.execPath, `--import=file://${PRELOAD}`, file], { env });
      assert.equal(code, 1);
      assert.match(stderr, /^case that did not end: waits\nwaited 2000 ms, with these open: .*Timeout/m);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
