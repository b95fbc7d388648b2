// The image store through the CLI: in, named, listed, used, out, and nothing left.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage, busyboxMembers } from "../fixtures/busybox-image.js";
import { archiveBytes } from "../fixtures/images/tar-writer.js";
import { TestKiln } from "./harness.js";

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
});
after(() => kiln.dispose());

const names = () => kiln.ok(["images", "--format", "{{.Repository}}:{{.Tag}}"]);

describe("kiln images", () => {
  it("pulls a layout by a relative path, and says what came", async () => {
    const result = await kiln.kiln(["pull", "oci:busybox:latest"], { cwd: kiln.root });
    assert.equal(result.code, 0, result.stderr);
    assert.notEqual(result.stdout.trim(), "");
    assert.match(result.stderr, /: Done/);
    assert.equal((await kiln.kiln(["pull", "-q", image])).stderr, "");
  });

  it("makes an image of a root file system, which then runs", async () => {
    const tar = archiveBytes(await busyboxMembers());
    const id = await kiln.ok(
      ["image", "import", "-c", 'CMD ["echo", "imported"]', "-c", "ENV PATH=/bin", "-", "mine:1"],
      { stdin: tar },
    );
    assert.match(id, /^sha256:[0-9a-f]{64}\n$/);
    assert.match(await names(), /^mine:1$/m);
    assert.equal(
      await kiln.ok(["image", "inspect", "-f", "{{json .config.cmd}}", "mine:1"]),
      '["echo","imported"]\n',
    );
    assert.equal(await kiln.ok(["run", "-q", "--rm", "mine:1"]), "imported\n");
  });

  it("gives names and takes them away", async () => {
    await kiln.ok(["image", "tag", "mine:1", "other:2"]);
    assert.match(await names(), /^other:2$/m);
    assert.match(await kiln.ok(["rmi", "other:2"]), /^Untagged: .*other:2$/m);
    assert.doesNotMatch(await names(), /^other:2$/m);
  });

  it("does not remove an image that a VM uses", async () => {
    await kiln.ok(["create", "-q", "--name", "user", "mine:1"]);
    const refused = await kiln.kiln(["rmi", "mine:1"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^kiln: .*\nhint: /s);
    await kiln.ok(["rm", "user"]);
    assert.match(await kiln.ok(["rmi", "mine:1"]), /Deleted: sha256:/);
  });

  it("leaves nothing behind that nobody owns", async () => {
    await kiln.ok(["system", "prune", "-a", "-f"]);
    assert.equal(await kiln.ok(["images", "-aq"]), "");
    const rows = (await kiln.ok(["system", "df", "--format", "{{.Type}} {{.Total}} {{.SizeBytes}}"]))
      .trim()
      .split("\n");
    for (const row of rows.filter((each) => !each.startsWith("kernels"))) assert.match(row, / 0 0$/);
  });

  it("refuses a source that is not there, with its name", async () => {
    const missing = await kiln.kiln(["image", "import", "/nonexistent/rootfs.tar", "x"]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^kiln: read \/nonexistent\/rootfs\.tar/);
    const damaged = await kiln.kiln(["image", "import", "-", "x"], {
      stdin: await readFile(process.execPath).then((bytes) => bytes.subarray(0, 5000)),
    });
    assert.equal(damaged.code, 1);
    assert.equal(await kiln.ok(["images", "-aq"]), "");
  });
});

describe("kiln kernel", () => {
  it("lists the default and says why it is that", async () => {
    const row = JSON.parse(await kiln.ok(["kernel", "ls", "--format", "json"])) as {
      Default: string;
      Release: string;
    };
    assert.equal(row.Default, "yes");
    assert.match(row.Release, /^\d+\.\d+/);
  });
});
