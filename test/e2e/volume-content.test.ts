// What lies in volumes, out and in; and how their file systems grow in a guest: with e2fsck to say that all is whole.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Kiln } from "../../src/sdk/index.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

const ENV = { ...process.env, LC_ALL: "C", PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

let kiln: TestKiln;
let image = "";
let scratch = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
  scratch = join(kiln.root, "scratch");
  await mkdir(join(scratch, "tree/sub"), { recursive: true, mode: 0o750 });
  await writeFile(join(scratch, "tree/sub/file"), "content\n", { mode: 0o640 });
  await symlink("file", join(scratch, "tree/sub/link"));
  const owner = ["--owner=1000", "--group=2000", "--mtime=@86400"];
  execFileSync("tar", ["-C", join(scratch, "tree"), ...owner, "-cf", join(scratch, "in.tar"), "."]);
});
after(() => kiln.dispose());

/** Runs a line in a VM that is gone afterwards; gives what it printed. */
const once = (flags: readonly string[], line: string) =>
  kiln.ok(["run", "--rm", "-q", "-m", "128m", "--network", "none", ...flags, image, "sh", "-c", line]);

const inspect = async (volume: string, template: string) =>
  (await kiln.ok(["volume", "inspect", "-f", template, volume])).trim();

/** Nobody has it open. */
async function assertClean(volume: string): Promise<void> {
  const path = join(kiln.root, "data/volumes", await inspect(volume, "{{.id}}"), "disk.ext4");
  const { status, stdout, stderr } = spawnSync("e2fsck", ["-fn", path], { env: ENV, encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);
}

/** "mode owner size name" of all that is in a tar. */
function listed(tar: string): string[] {
  const lines = execFileSync("tar", ["-tvf", tar, "--numeric-owner"], { env: ENV, encoding: "utf8" });
  return lines
    .trim()
    .split("\n")
    .map((line) => line.replace(/ +[\d-]+ [\d:]+ /, " ").replace(/ +/g, " "))
    .sort();
}

/** A tar of a link to the guest's root, and of a file that would lie behind it. */
async function leadingOut(): Promise<string> {
  const [tar, way] = [join(scratch, "leading-out.tar"), join(scratch, "way")];
  await symlink("/", way);
  execFileSync("tar", ["-C", scratch, "-cf", tar, "way"]);
  await rm(way);
  await mkdir(way);
  await writeFile(join(way, "out"), "out\n");
  execFileSync("tar", ["-C", scratch, "-rf", tar, "way/out"]);
  return tar;
}

describe("what lies in a volume", () => {
  it("goes in and out of one that no VM has, byte for byte, and leaves no VM behind", async () => {
    await kiln.ok(["volume", "create", "--size", "64m", "data"]);
    assert.equal(await kiln.ok(["volume", "import", "data", join(scratch, "in.tar")]), "data\n");
    assert.equal(await kiln.ok(["ps", "-aq"]), "");
    await assertClean("data");
    const out = join(scratch, "out.tar");
    await kiln.ok(["volume", "export", "-o", out, "data"]);
    assert.equal(await kiln.ok(["ps", "-aq"]), "");
    assert.deepEqual(listed(out), listed(join(scratch, "in.tar")));
    execFileSync("tar", ["-C", scratch, "-xf", out, "./sub/file"]);
    assert.equal(await readFile(join(scratch, "sub/file"), "utf8"), "content\n");
    await assertClean("data");
  });

  it("is what the VM sees that has it, and that VM is what unpacks", async () => {
    const words = ["-m", "128m", "--network", "none", "-v", "data:/d", image, "sleep", "100000"];
    await kiln.ok(["run", "-d", "-q", "--name", "holder", ...words]);
    assert.equal(
      await kiln.ok([
        "exec",
        "holder",
        "sh",
        "-c",
        "stat -c '%a %u:%g' /d/sub/file; cat /d/sub/link; ls -A /d",
      ]),
      "640 1000:2000\ncontent\nsub\n",
    );
    await kiln.ok(["exec", "holder", "sh", "-c", "echo more > /d/more"]);
    const copy = join(scratch, "copy.tar");
    await kiln.ok(["volume", "export", "-o", copy, "data"]);
    assert.ok(listed(copy).some((line) => line.endsWith(" ./more")));
    await kiln.ok(["exec", "holder", "rm", "-r", "/d/sub", "/d/more"]);
    await kiln.ok(["volume", "import", "data", copy]);
    assert.equal(await kiln.ok(["exec", "holder", "cat", "/d/more", "/d/sub/file"]), "more\ncontent\n");
    const { code, stderr } = await kiln.kiln(["volume", "import", "data", await leadingOut()]);
    assert.match(stderr, /import into volume data: .*"way\/out": a symlink on the way leads out/);
    assert.equal(code, 1);
    assert.equal(
      await kiln.ok(["exec", "holder", "sh", "-c", "test -L /d/way && ! test -e /out && echo held"]),
      "held\n",
    );
    await kiln.ok(["stop", "-t", "1", "holder"]);
    await kiln.ok(["rm", "holder"]);
    await assertClean("data");
  });

  it("gives the host back what is removed from it", async () => {
    const write = "dd if=/dev/zero of=/v/large bs=1M count=96 && sync";
    assert.equal(await once(["-v", "roomy:/v"], `${write} && stat -c %s /v/large`), `${96 * 1024 ** 2}\n`);
    assert.ok(Number(await inspect("roomy", "{{.usedBytes}}")) > 96 * 1024 ** 2);
    await once(["-v", "roomy:/v"], "rm /v/large && sync");
    assert.ok(Number(await inspect("roomy", "{{.usedBytes}}")) < 32 * 1024 ** 2);
    await assertClean("roomy");
  });
});

describe("a volume that was grown while nobody had it", () => {
  it("grows its file system at the next mount that may write, over several blocks of descriptors", async () => {
    for (const size of ["100m", "300m", "20g"]) {
      await kiln.ok(["volume", "grow", "data", size]);
      assert.notEqual(await inspect("data", "{{.filesystemBytes}}"), await inspect("data", "{{.sizeBytes}}"));
      const line = "set -- $(df -m /d | tail -n 1); echo $2; cat /d/sub/file; seq 1 100000 > /d/seq";
      const [mib = "0", content] = (await once(["-v", "data:/d"], line)).split("\n");
      const asked = Number(await inspect("data", "{{.sizeBytes}}")) / 1024 ** 2;
      assert.ok(Number(mib) > asked * 0.85, `${mib} MiB of ${asked}`);
      assert.equal(content, "content");
      assert.equal(await inspect("data", "{{.filesystemBytes}}"), await inspect("data", "{{.sizeBytes}}"));
      await assertClean("data");
    }
    assert.ok(Number(await inspect("data", "{{.usedBytes}}")) < 256 * 1024 ** 2, "it stays sparse");
  });
});

describe("a volume that a VM writes to", () => {
  it("grows under it, and what is written meanwhile is all there", async () => {
    await kiln.ok(["volume", "create", "--size", "64m", "live"]);
    const words = ["-m", "128m", "--network", "none", "-v", "live:/d", image, "sleep", "100000"];
    await kiln.ok(["run", "-d", "-q", "--name", "writer", ...words]);
    const sh = (line: string) => kiln.ok(["exec", "writer", "sh", "-c", line]);
    const writing = sh("for i in $(seq 1 60); do seq 1 20000 > /d/$i && sync; done");
    for (const size of ["200m", "600m", "9g", "30g"]) {
      await kiln.ok(["volume", "grow", "live", size]);
      const asked = Number(await inspect("live", "{{.sizeBytes}}"));
      assert.equal(Number(await inspect("live", "{{.filesystemBytes}}")), asked, size);
      const mib = Number(await sh("set -- $(df -m /d | tail -n 1); echo $2"));
      assert.ok(mib > (asked / 1024 ** 2) * 0.85, `${mib} MiB of ${size}`);
    }
    await writing;
    assert.equal(await sh("cat /d/* | wc -l; ls /d | wc -l"), "1200000\n60\n");
    await kiln.ok(["stop", "-t", "1", "writer"]);
    await assertClean("live");
    await kiln.ok(["rm", "writer"]);
  });
});

describe("two hundred volumes", () => {
  it("are made at once, are there for the next kilnd, whole, and go", async () => {
    const names = Array.from({ length: 200 }, (_, at) => `many-${at}`);
    const listed = async () =>
      (await kiln.ok(["volume", "ls", "-f", "name=many-", "--format", "{{.name}}"]))
        .trim()
        .split("\n")
        .sort();
    {
      await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}`, start: false });
      await Promise.all(names.map((name) => sdk.volumes.create(name, { size: "64m" })));
    }
    assert.deepEqual(await listed(), [...names].sort());
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    assert.deepEqual(await listed(), [...names].sort());
    for (const name of ["many-0", "many-199"]) await assertClean(name);
    await kiln.ok(["volume", "rm", ...names]);
    const left = (await kiln.ok(["volume", "ls", "-q", "-f", "name=many-"])).trim();
    assert.equal(left, "");
  });
});
