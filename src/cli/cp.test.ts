// `kiln cp` against a kilnd that keeps what it is sent.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cliCase } from "../../test/fixtures/cli-case.js";

const cli = cliCase();
const { kiln } = cli;

describe("kiln cp", () => {
  it("copies in, out and through pipes", async () => {
    const directory = await mkdtemp(join(tmpdir(), "cp-"));
    const file = join(directory, "f");
    await writeFile(file, "content");
    cli.kilnd.files.set("/tmp", { mode: 0o041777 });
    assert.deepEqual(await kiln(["cp", file, "web:/tmp"]), { code: 0, stdout: "", stderr: "" });
    const archive = cli.kilnd.archives.get("/tmp");
    assert.ok(archive);
    cli.kilnd.files.set("/tmp/f", { mode: 0o100644, archive });
    await kiln(["cp", "web:/tmp/f", join(directory, "g")]);
    assert.equal(await readFile(join(directory, "g"), "utf8"), "content");
    assert.ok((await kiln(["cp", "web:/tmp/f", "-"])).stdout.includes("content"));
    await kiln(["cp", "-", "web:/srv"], { stdin: "a tar" });
    assert.equal(cli.kilnd.archives.get("/srv")?.toString(), "a tar");
    await kiln(["cp", "web:tmp/f", "web:/srv/new"]);
    assert.ok(cli.kilnd.archives.get("/srv")?.includes("content"));
    await rm(directory, { recursive: true });
  });

  it("fails where nothing comes through the pipe, and passes nothing on", async () => {
    for (const archive of [Buffer.alloc(0), Buffer.alloc(1024), Buffer.alloc(10_240)]) {
      cli.kilnd.files.set("/run/socket", { mode: 0o140755, archive });
      const { code, stdout, stderr } = await kiln(["cp", "web:/run/socket", "-"]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^kiln: copy \/run\/socket out of the VM: the guest sent an archive without it/);
    }
    cli.kilnd.archives.delete("/srv");
    const { code, stderr } = await kiln(["cp", "-", "web:/srv"], { stdin: "" });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^kiln: cp: stdin is empty: no tar stream came\nhint: look at the command before the pipe/,
    );
    assert.equal(cli.kilnd.archives.has("/srv"), false);
  });

  it("says of a VM that does not run that the copy waits", async () => {
    cli.kilnd.idle.add("still");
    const waits = "kiln: VM still does not run: the copy is made at its next start\n";
    assert.deepEqual(await kiln(["cp", "package.json", "still:/tmp"]), {
      code: 0,
      stdout: "",
      stderr: waits,
    });
    assert.deepEqual(await kiln(["cp", "-", "still:/tmp"], { stdin: "a tar" }), {
      code: 0,
      stdout: "",
      stderr: waits,
    });
    assert.equal((await kiln(["cp", "-q", "package.json", "still:/tmp"])).stderr, "");
    assert.match((await kiln(["cp", "still:/etc", "x"])).stderr, /still: it is created/);
    cli.kilnd.idle.clear();
  });

  it("refuses two local sides, and an empty path", async () => {
    assert.match((await kiln(["cp", "a", "b"])).stderr, /neither side is in a VM/);
    assert.match((await kiln(["cp", "web:", "b"])).stderr, /names no path in the VM/);
  });
});
