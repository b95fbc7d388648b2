import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "./errors.js";
import { assertNetguardLoaded } from "./netguard.js";
import { atLeast, findProgram } from "./programs.js";

describe("atLeast", () => {
  it("compares by number, part by part", () => {
    assert.ok(atLeast("1.16.1", "1.8"));
    assert.ok(atLeast("1.14.0", "1.14"));
    assert.ok(atLeast("10.0", "9.9.9"));
    assert.ok(!atLeast("1.7.0", "1.8"));
    assert.ok(!atLeast("1", "1.1"));
    assert.ok(atLeast("1.17.0-dev", "1.17"));
  });
});

describe("findProgram", () => {
  it("looks through the path, and takes a path as it is", async () => {
    assert.match((await findProgram("sh")) ?? "", /\/sh$/);
    assert.equal(await findProgram("/bin/sh"), "/bin/sh");
    assert.equal(await findProgram("no-such-program-of-kiln"), undefined);
    assert.equal(await findProgram("/etc/passwd"), undefined);
  });
});

describe("assertNetguardLoaded", () => {
  it("finds what a process has mapped, and misses what it has not", async () => {
    await assertNetguardLoaded(process.pid, process.execPath);
    await assert.rejects(assertNetguardLoaded(process.pid, "/lib/guard.so"), (error) =>
      hasReason(error, "no-netguard"),
    );
  });
});
