import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { hasReason } from "../base/errors.js";
import { daemonProgram } from "./daemon-program.js";

const PACKAGE = fileURLToPath(new URL("../../..", import.meta.url));

describe("daemonProgram", () => {
  let directory = "";
  before(async () => {
    directory = await realpath(await mkdtemp(join(tmpdir(), "kiln-bundle-")));
    await mkdir(join(directory, "with/node_modules"), { recursive: true });
    await symlink(PACKAGE, join(directory, "with/node_modules/kilnvm"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it("is the one beside this file", () => {
    assert.equal(daemonProgram(), join(PACKAGE, "dist/src/daemon/main.js"));
  });

  it("is found through the package where a bundler has moved this file", () => {
    const bundle = pathToFileURL(join(directory, "with/out/bundle.js")).href;
    assert.equal(daemonProgram(bundle, "/"), join(PACKAGE, "dist/src/daemon/main.js"));
    assert.equal(daemonProgram("", join(directory, "with")), join(PACKAGE, "dist/src/daemon/main.js"));
  });

  it("says what to do where there is none", () => {
    const argv = process.argv[1];
    process.argv[1] = join(directory, "bundle.js");
    try {
      const bundle = pathToFileURL(join(directory, "out/bundle.js")).href;
      assert.throws(
        () => daemonProgram(bundle, directory),
        (error) =>
          hasReason(error, "daemon-not-found") &&
          /install kilnvm beside it/.test(String((error as { hint?: string }).hint)),
      );
    } finally {
      process.argv[1] = argv ?? "";
    }
  });
});
