import assert from "node:assert/strict";
import { mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { writeSparsely } from "./sparse-file.js";

const MIB = 1024 ** 2;

describe("writeSparsely", () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "sparse-"));
  });
  after(() => rm(scratch, { recursive: true }));

  /** Cut as an archive's stream is: not where pages end. */
  async function written(content: Buffer): Promise<{ same: boolean; diskBytes: number }> {
    async function* pieces() {
      for (let at = 0, size = 65_024; at < content.length; at += size, size = 65_536)
        yield content.subarray(at, at + size);
    }
    const path = join(scratch, "file");
    const file = await open(path, "w");
    assert.equal(await writeSparsely(file, pieces()), content.length);
    await file.close();
    return { same: (await readFile(path)).equals(content), diskBytes: (await stat(path)).blocks * 512 };
  }

  it("gives zeros no room, in the middle and at the end, and the same bytes back", async () => {
    const content = Buffer.alloc(4 * MIB + 5);
    for (const last of [0, 1]) {
      content.fill(7, 100, 200);
      content[content.length - 1] = last;
      const { same, diskBytes } = await written(content);
      assert.ok(same);
      assert.ok(diskBytes <= 256 * 1024, `${diskBytes} bytes on disk`);
    }
  });

  it("writes what is empty, small or full as it is", async () => {
    for (const content of [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(MIB, "data")]) {
      assert.ok((await written(content)).same);
    }
  });
});
