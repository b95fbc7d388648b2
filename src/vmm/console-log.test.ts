import assert from "node:assert/strict";
import { link, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { CONSOLE_LOG_BYTES, ConsoleLog, removeConsoleLog } from "./console-log.js";

describe("ConsoleLog", () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "console-"));
    path = join(directory, "console.log");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("keeps what was written, in order", async () => {
    const log = await ConsoleLog.start(path);
    for (const word of ["one ", "two ", "three"]) log.write(Buffer.from(word));
    assert.equal(await log.tail(), "one two three");
    await log.close();
    assert.equal(await readFile(path, "utf8"), "one two three");
  });

  it("neither writes to nor shows a file that was linked in its place", async () => {
    const secret = join(directory, "secret");
    await writeFile(secret, "secret");
    await link(secret, path);
    await link(secret, `${path}.1`);
    const log = await ConsoleLog.resume(path);
    assert.equal(await log.tail(), "");
    log.write(Buffer.from("guest"));
    assert.equal(await log.tail(), "guest");
    await log.close();
    assert.equal(await readFile(secret, "utf8"), "secret");
  });

  it("gives the last bytes only", async () => {
    const log = await ConsoleLog.start(path);
    log.write(Buffer.from("0123456789"));
    assert.equal(await log.tail(4), "6789");
    await log.close();
  });

  it("never holds more than two files of the bound, and the tail reaches over both", async () => {
    const log = await ConsoleLog.start(path);
    const chunk = Buffer.alloc(100_000, "x");
    for (let written = 0; written < 3 * CONSOLE_LOG_BYTES; written += chunk.length) {
      log.write(chunk);
      await log.tail(1);
    }
    for (const file of [path, `${path}.1`]) assert.ok((await stat(file)).size <= CONSOLE_LOG_BYTES);
    const { size } = await stat(path);
    assert.equal((await log.tail(size + 500)).length, size + 500);
    await log.close();
  });

  it("drops what a slow disk cannot take, and says how much", async () => {
    const log = await ConsoleLog.start(path);
    const chunk = Buffer.alloc(100 * 1024, "x");
    // All in one turn of the event loop: the disk gets no chance in between.
    for (let count = 0; count < 10; count++) log.write(chunk);
    await log.tail(1);
    log.write(Buffer.from("later"));
    const tail = await log.tail();
    assert.match(tail, /\[kiln: \d+ bytes of console output dropped\]\nlater$/);
    assert.ok((await stat(path)).size < 10 * chunk.length);
    await log.close();
  });

  it("goes on where the disk refuses", async () => {
    const log = await ConsoleLog.start(path);
    await rm(directory, { recursive: true });
    log.write(Buffer.from("lost"));
    assert.equal(await log.tail(), "");
    await log.close();
  });

  it("moves the boot before aside", async () => {
    const first = await ConsoleLog.start(path);
    first.write(Buffer.from("first boot"));
    await first.close();
    const second = await ConsoleLog.start(path);
    second.write(Buffer.from("second boot"));
    assert.equal(await second.tail(), "second boot", "the tail is of this boot alone");
    await second.close();
    assert.equal(await readFile(`${path}.1`, "utf8"), "first boot");
  });

  it("goes on with the same boot for a later kilnd", async () => {
    const first = await ConsoleLog.start(path);
    first.write(Buffer.from("before "));
    await first.close();
    const second = await ConsoleLog.resume(path);
    await second.firstOutput;
    second.write(Buffer.from("after"));
    assert.equal(await second.tail(), "before after");
    await second.close();
  });

  it("tells of the first output", async () => {
    const log = await ConsoleLog.start(path);
    let spoke = false;
    void log.firstOutput.then(() => {
      spoke = true;
    });
    log.write(Buffer.alloc(0));
    await log.tail();
    assert.equal(spoke, false);
    log.write(Buffer.from("."));
    await log.firstOutput;
    await log.close();
  });

  it("takes control characters and escape sequences out of the tail", async () => {
    const log = await ConsoleLog.start(path);
    log.write(Buffer.from("a\x1b[31mb\x1b[0m\x07c\x1b]0;title\x07d\r\ne\tf\x9bg\x7f\x1b"));
    assert.equal(await log.tail(), "abcd\ne\tfg");
    await log.close();
  });

  it("is removed whole", async () => {
    const log = await ConsoleLog.start(path);
    log.write(Buffer.from("x"));
    await log.close();
    await (await ConsoleLog.start(path)).close();
    await removeConsoleLog(path);
    await assert.rejects(stat(path));
    await assert.rejects(stat(`${path}.1`));
  });
});
