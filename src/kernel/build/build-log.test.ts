import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Code, KilnError } from "../../base/errors.js";
import { withBuildLog } from "./build-log.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-log-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const failing = (name: string, reason: string, signal?: AbortSignal) =>
  withBuildLog(directory, name, signal, async (log) => {
    log.write(`what ${name} said\n`);
    throw new KilnError(Code.Internal, "it failed", { reason });
  });

describe("a build's log", () => {
  it("is gone where all went well", async () => {
    const result = await withBuildLog(directory, "good", undefined, async (log) => log.write("fine\n"));
    assert.equal(result, true);
    assert.deepEqual(await readdir(directory), []);
  });

  it("is kept where the build failed, whole, and named in the error", async () => {
    const path = join(directory, "bad.log");
    await assert.rejects(failing("bad", "kernel-build-failed"), (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.reason, "kernel-build-failed");
      assert.equal(error.hint, `the whole log: ${path}`);
      assert.equal(error.details.log, path);
      return true;
    });
    assert.equal(await readFile(path, "utf8"), "what bad said\n");
  });

  it("is gone where the build was given up", async () => {
    await assert.rejects(failing("given-up", "whatever", AbortSignal.abort()));
    assert.deepEqual(await readdir(directory), []);
  });

  it("is one of at most five", async () => {
    for (let index = 0; index < 8; index++) await assert.rejects(failing(`n${index}`, "kernel-build-failed"));
    assert.equal((await readdir(directory)).length, 5);
  });
});
