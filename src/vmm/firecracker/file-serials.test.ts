import assert from "node:assert/strict";
import { link, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { serialOfFile, serialsOfFiles } from "./file-serials.js";

describe("serialOfFile", () => {
  it("is device, own device and inode in decimal, one behind the other", () => {
    assert.equal(serialOfFile({ dev: 64_768n, rdev: 0n, ino: 1_835_021n }), "6476801835021");
  });

  it("is cut to what virtio-blk carries, and keeps every digit of a great inode", () => {
    assert.equal(serialOfFile({ dev: 2049n, rdev: 0n, ino: 9_007_199_254_740_993n }), "20490900719925474099");
    assert.equal(serialOfFile({ dev: 7n, rdev: 0n, ino: -1n }), "70184467440737095516");
  });
});

describe("serialsOfFiles", () => {
  it("tells files apart, not their names, and leaves out what is not there", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-serials-"));
    try {
      const disk = (id: string) => ({ id, path: join(directory, id), readOnly: true });
      for (const id of ["base", "cow"]) await writeFile(disk(id).path, "");
      const serials = await serialsOfFiles([disk("base"), disk("cow"), disk("gone")]);
      const { dev, ino } = await stat(disk("cow").path, { bigint: true });
      assert.equal(serials.get("cow"), `${dev}0${ino}`.slice(0, 20));
      assert.deepEqual([...serials.keys()], ["base", "cow"]);
      // As in a jail.
      await link(disk("base").path, disk("link").path);
      assert.equal((await serialsOfFiles([disk("link")])).get("link"), serials.get("base"));
      assert.deepEqual(
        [...(await serialsOfFiles([disk("base"), disk("link"), disk("cow")])).keys()],
        ["cow"],
      );
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
