import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { runProgram } from "./program.js";

const node = process.execPath;

describe("running a program", () => {
  it("gives its output and feeds its input", async () => {
    const { stdout } = await runProgram("cat", [], { input: Buffer.from("through") });
    assert.equal(stdout.toString(), "through");
  });

  it("says which program is missing and how to get it", async () => {
    await assert.rejects(runProgram("kiln-no-such-program", [], { install: "install it" }), (error) => {
      assert.ok(hasReason(error, "program-missing"));
      assert.match(String(error), /kiln-no-such-program is not installed/);
      return true;
    });
  });

  it("gives exit code and last words of one that fails", async () => {
    const script = "console.error('the disk is on fire'); process.exit(3)";
    await assert.rejects(runProgram(node, ["-e", script]), /exit code 3.*the disk is on fire/);
  });

  it("ends one that prints more than allowed", async () => {
    await assert.rejects(runProgram("yes", [], { maxOutput: 10_000 }), (error) =>
      hasReason(error, "program-output"),
    );
  });

  it("does not fail where the program ends without reading its input", async () => {
    const { stdout } = await runProgram("true", [], { input: Buffer.alloc(4 * 1024 * 1024) });
    assert.equal(stdout.length, 0);
  });

  it("ends with the signal that aborts it", async () => {
    const abort = new AbortController();
    const running = runProgram("cat", ["/dev/zero"], {
      signal: abort.signal,
      maxOutput: Number.MAX_SAFE_INTEGER,
    });
    abort.abort();
    await assert.rejects(running, (error) => hasReason(error, "cancelled"));
  });

  it("hands on what the program tells on descriptor 3", async () => {
    const lines: string[] = [];
    const script = "require('fs').writeSync(3, 'one\\ntwo\\nrest')";
    await runProgram(node, ["-e", script], { onStatusLine: (line) => lines.push(line) });
    assert.deepEqual(lines, ["one", "two"]);
  });
});
