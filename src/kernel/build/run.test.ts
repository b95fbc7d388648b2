import assert from "node:assert/strict";
import { createWriteStream, type WriteStream } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { identifyProcess } from "../../base/processes.js";
import { isCompiledObject, LastWords, runBuildCommand } from "./run.js";

const NO_SANDBOX = { words: [], user: undefined, fenced: false };
const ENV = { PATH: "/usr/bin:/bin" };

describe("isCompiledObject", () => {
  it("counts what Kbuild compiles for the kernel, and nothing else", () => {
    const lines = [
      "  CC      init/main.o",
      "  AS      arch/x86/entry/entry_64.o",
      "  CC [M]  fs/ext4/super.o",
      "  HOSTCC  scripts/basic/fixdep",
      "  AR      init/built-in.a",
      "  LD      vmlinux.o",
      "cc: error",
    ];
    assert.deepEqual(lines.filter(isCompiledObject), lines.slice(0, 3));
  });
});

describe("LastWords", () => {
  it("keeps complaints rather than what came after them", () => {
    const words = new LastWords();
    for (const line of ["  CC a.o", "a.c:1:2: error: no", "make[1]: *** [a.o] Error 1", "  CC b.o"])
      words.take(line);
    assert.equal(words.text(), "a.c:1:2: error: no\nmake[1]: *** [a.o] Error 1");
  });

  it("keeps the last lines where nobody complained", () => {
    const words = new LastWords();
    for (let index = 0; index < 40; index++) words.take(`line ${index}`);
    assert.equal(words.text().split("\n").length, 12);
    assert.ok(words.text().endsWith("line 39"));
  });
});

describe("runBuildCommand", () => {
  let directory: string;
  let log: WriteStream;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-run-"));
    log = createWriteStream(join(directory, "log"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const sh = (script: string, more: { signal?: AbortSignal; onLine?: (line: string) => void } = {}) =>
    runBuildCommand({ sandbox: NO_SANDBOX, argv: ["sh", "-c", script], env: ENV, log, ...more });
  const logged = async () => {
    log.end();
    await finished(log);
    return await readFile(join(directory, "log"), "utf8");
  };

  it("gives lines of both outputs to whoever counts them, and to the log", async () => {
    const lines: string[] = [];
    await sh("echo one; echo two >&2; printf three", { onLine: (line) => lines.push(line) });
    assert.deepEqual(lines.sort(), ["one", "three", "two"]);
    const text = await logged();
    assert.match(text, /^\$ sh -c /);
    for (const line of lines) assert.ok(text.includes(`${line}\n`));
  });

  it("gives the program nothing but the environment of the build", async () => {
    process.env.KILN_TEST_SECRET = "secret";
    const lines: string[] = [];
    await sh("env", { onLine: (line) => lines.push(line) });
    delete process.env.KILN_TEST_SECRET;
    assert.ok(lines.includes("PATH=/usr/bin:/bin"));
    assert.ok(!lines.some((line) => line.includes("secret")));
  });

  it("fails with what the program complained about", async () => {
    await assert.rejects(sh("echo 'x.c:1: error: bad'; echo fine; exit 2"), (error) => {
      assert.ok(hasReason(error, "kernel-build-failed"));
      assert.match(String(error), /sh failed \(exit code 2\):\nx\.c:1: error: bad$/);
      return true;
    });
  });

  it("ends all processes of a command that is given up", async () => {
    const controller = new AbortController();
    let child = 0;
    const onLine = (line: string) => {
      child = Number(line);
      controller.abort();
    };
    await assert.rejects(sh("sleep 1000 & echo $!; wait", { signal: controller.signal, onLine }));
    assert.ok(child > 0);
    while ((await identifyProcess(child)) !== undefined) await new Promise(setImmediate);
  });
});
