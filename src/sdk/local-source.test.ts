import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants } from "node:fs";
import { mkdtemp, open, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasGone, openToRead, readUnsized } from "./local-source.js";

describe("local sources", () => {
  let scratch: string;
  let fifo: Buffer;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "source-"));
    fifo = Buffer.from(join(scratch, "fifo"));
    execFileSync("mkfifo", [fifo.toString()]);
  });
  after(() => rm(scratch, { recursive: true }));

  it("opens no FIFO and no link in place of a file, and waits for neither", async () => {
    const link = Buffer.from(join(scratch, "link"));
    await symlink("/etc/passwd", link);
    for (const path of [fifo, link]) await assert.rejects(openToRead(path, false), hasGone);
    await (await openToRead(link, true)).close();
  });

  it("says so of a file that has nothing now, and no end", async () => {
    // Its other end is open, so that a read would wait; what /proc/kmsg says to one who does not.
    const both = await open(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    await assert.rejects(readUnsized(both, fifo), {
      reason: "endless-file",
      message: /can only be waited for/,
    });
    await both.write("now");
    assert.equal((await readUnsized(both, fifo)).toString(), "now");
    await both.close();
  });

  it("reads no more than its limit", async () => {
    const path = join(scratch, "large");
    await writeFile(path, "");
    const file = await open(path, "r+");
    await file.truncate(17 * 1024 ** 2);
    await assert.rejects(readUnsized(file, Buffer.from(path)), { reason: "file-too-large" });
    await file.close();
  });
});
