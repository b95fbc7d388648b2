// `kiln cp` with docker's rules, on real trees.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Kiln } from "../../src/sdk/index.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

let kiln: TestKiln;
let image = "";
let scratch = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
  scratch = join(kiln.root, "scratch");
  await mkdir(join(scratch, "tree/sub"), { recursive: true });
  await writeFile(join(scratch, "tree/a.txt"), "A");
  await writeFile(join(scratch, "tree/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  await writeFile(join(scratch, "tree/sub/b.txt"), "B");
  await symlink("../a.txt", join(scratch, "tree/sub/link"));
  await kiln.ok(["run", "-q", "-d", "--name", "one", image, "sleep", "100000"]);
});
after(() => kiln.dispose());

const sh = (script: string, vm = "one") => kiln.ok(["exec", vm, "sh", "-c", script]);
const cp = (...args: string[]) => kiln.kiln(["cp", ...args], { cwd: scratch });
const cpOk = (...args: string[]) => kiln.ok(["cp", ...args], { cwd: scratch });

describe("kiln cp into a VM", () => {
  it("names a file as the target, or keeps its name in a directory", async () => {
    await cpOk("tree/a.txt", "one:/tmp/new.txt");
    await cpOk("tree/a.txt", "one:/tmp");
    assert.equal(await sh("cat /tmp/new.txt /tmp/a.txt"), "AA");
  });

  it("puts a directory into an existing one, and only its contents with /.", async () => {
    await sh("mkdir /tmp/in /tmp/flat");
    await cpOk("tree", "one:/tmp/in");
    await cpOk("tree/.", "one:/tmp/flat");
    assert.equal(await sh("cat /tmp/in/tree/sub/b.txt; cat /tmp/flat/sub/link"), "BA");
    assert.equal(await sh("ls /tmp/flat"), "a.txt\nrun.sh\nsub\n");
  });

  it("gives a directory a free name", async () => {
    await cpOk("tree", "one:/tmp/renamed");
    assert.equal(
      await sh("ls /tmp/renamed; stat -c %a:%u /tmp/renamed/run.sh"),
      "a.txt\nrun.sh\nsub\n755:0\n",
    );
  });

  it("overwrites a file, also through a link", async () => {
    await sh("echo old > /tmp/real; ln -s real /tmp/alias");
    await cpOk("tree/a.txt", "one:/tmp/alias");
    assert.equal(await sh("cat /tmp/real; test -L /tmp/alias && echo link"), "Alink\n");
  });

  it("refuses what docker refuses, and says why", async () => {
    assert.match((await cp("tree", "one:/etc/passwd")).stderr, /not a directory/);
    assert.match((await cp("tree/a.txt", "one:/tmp/none/")).stderr, /no such directory/);
    assert.match((await cp("missing", "one:/tmp")).stderr, /copy missing: .*no such file/i);
    assert.equal((await cp("tree/a.txt", "one:/none/x")).code, 1);
  });

  it("throws no directory away for a file, and no file for a directory", async () => {
    await sh("mkdir -p /tmp/guard/a.txt; echo kept > /tmp/guard/a.txt/kept; echo kept > /tmp/guard/tree");
    const tar = execFileSync("tar", ["-C", join(scratch, "tree"), "-cf", "-", "a.txt"]);
    const refused = [
      await cp("tree/a.txt", "one:/tmp/guard"),
      await cp("tree", "one:/tmp/guard"),
      await kiln.kiln(["cp", "-", "one:/tmp/guard"], { stdin: tar }),
    ];
    for (const { code, stderr } of refused) {
      assert.equal(code, 1);
      assert.match(stderr, /cannot replace (a directory|what is no directory)/);
    }
    assert.equal(await sh("cat /tmp/guard/a.txt/kept /tmp/guard/tree"), "kept\nkept\n");
  });

  it("makes what a dangling link names, and refuses a device", async () => {
    await sh("ln -s there/new /tmp/dangling; mkdir -p /tmp/there");
    await cpOk("tree/a.txt", "one:/tmp/dangling");
    assert.equal(await sh("cat /tmp/there/new; test -L /tmp/dangling && echo link"), "Alink\n");
    assert.match((await cp("tree/a.txt", "one:/dev/null")).stderr, /it is a device/);
    assert.equal(await sh("test -c /dev/null && echo device"), "device\n");
  });

  it("keeps times before 1970 both ways", async () => {
    const old = join(scratch, "old");
    await writeFile(old, "old");
    execFileSync("touch", ["-d", "1960-01-01 00:00:00.25 UTC", old]);
    await cpOk("old", "one:/tmp/old");
    assert.equal(await sh("stat -c %y /tmp/old | cut -c1-22"), "1960-01-01 00:00:00.25\n");
    await cpOk("one:/tmp/old", "old-again");
    assert.equal((await stat(join(scratch, "old-again"))).mtimeMs, (await stat(old)).mtimeMs);
  });

  it("keeps names that are not UTF-8, both ways", async () => {
    const name = Buffer.from("caf\xe9", "latin1");
    const at = (directory: string) => Buffer.concat([Buffer.from(`${join(scratch, directory)}/`), name]);
    await mkdir(join(scratch, "latin1"));
    await writeFile(at("latin1"), "old");
    await cpOk("latin1", "one:/tmp/latin1");
    assert.equal(await sh("cd /tmp/latin1; printf '%s\\n' * | od -An -tx1"), " 63 61 66 e9 0a\n");
    await cpOk("one:/tmp/latin1", "latin1-again");
    assert.equal(await readFile(at("latin1-again"), "utf8"), "old");
  });

  it("unpacks a tar stream from stdin", async () => {
    const tar = execFileSync("tar", ["-C", join(scratch, "tree"), "-cf", "-", "."]);
    await sh("mkdir /tmp/piped");
    await kiln.ok(["cp", "-", "one:/tmp/piped"], { stdin: tar });
    assert.equal(await sh("cat /tmp/piped/sub/b.txt"), "B");
  });

  it("unpacks what is in it by its own names into a directory, and into nothing else", async () => {
    const tar = execFileSync("tar", ["-C", join(scratch, "tree"), "-cf", "-", "a.txt"]);
    await sh("mkdir /tmp/landing; ln -s landing /tmp/pier; echo kept > /tmp/quay");
    await kiln.ok(["cp", "-", "one:/tmp/pier"], { stdin: tar });
    assert.equal(await sh("cat /tmp/landing/a.txt; test -L /tmp/pier && echo link"), "Alink\n");
    for (const [path, stderr] of [
      ["/tmp/quay", /\/tmp\/quay is not a directory/],
      ["/tmp/nowhere", /there is no directory \/tmp\/nowhere\nhint: .*mkdir -p \/tmp\/nowhere/],
    ] as const) {
      const refused = await kiln.kiln(["cp", "-", `one:${path}`], { stdin: tar });
      assert.deepEqual([refused.code, stderr.test(refused.stderr)], [1, true], refused.stderr);
    }
    assert.match(
      (await cp("tree/a.txt", "one:/tmp/no/x")).stderr,
      /no directory \/tmp\/no\nhint: .*mkdir -p/,
    );
    assert.equal(await sh("cat /tmp/quay; ls -d /tmp/no*; true"), "kept\n");
  });
});

describe("kiln cp out of a VM", () => {
  it("copies files and directories with docker's rules", async () => {
    await sh(
      "mkdir -p /srv/out/deep; echo hi > /srv/out/deep/f; chmod 600 /srv/out/deep/f; ln -s deep/f /srv/out/l",
    );
    await cpOk("one:/srv/out", "fresh");
    assert.equal(await readFile(join(scratch, "fresh/deep/f"), "utf8"), "hi\n");
    assert.equal((await stat(join(scratch, "fresh/deep/f"))).mode & 0o777, 0o600);
    assert.equal(await readlink(join(scratch, "fresh/l")), "deep/f");
    await cpOk("one:/srv/out", "fresh");
    assert.ok(
      (await readdir(join(scratch, "fresh"))).includes("out"),
      "an existing directory takes it inside",
    );
    await mkdir(join(scratch, "contents"));
    await cpOk("one:/srv/out/.", "contents");
    assert.deepEqual((await readdir(join(scratch, "contents"))).sort(), ["deep", "l"]);
  });

  it("takes / for what it holds, however it is written, with every level", async () => {
    await sh("echo lower > /marker; mkdir -p /srv/marked; echo upper > /srv/marked/f");
    for (const [n, path] of ["/", "/.", "/srv/..", "//"].entries()) {
      const into = join(scratch, `root${n}`);
      await mkdir(join(into, "srv"), { recursive: true });
      await writeFile(join(into, "f"), "mine");
      await cpOk(`one:${path}`, into);
      assert.equal(await readFile(join(into, "marker"), "utf8"), "lower\n", path);
      assert.equal(await readFile(join(into, "srv/marked/f"), "utf8"), "upper\n", path);
      assert.equal(await readFile(join(into, "f"), "utf8"), "mine", `${path} overwrites nothing of mine`);
    }
    await cpOk("one:/", "root-new");
    assert.equal(await readFile(join(scratch, "root-new/srv/marked/f"), "utf8"), "upper\n");
    await cpOk("one:/srv/marked/..", "root-new");
    assert.equal(await readFile(join(scratch, "root-new/srv/marked/f"), "utf8"), "upper\n");
  });

  it("copies a link as a link, and with -L what it names", async () => {
    await sh("echo target > /tmp/t; ln -sf t /tmp/tl");
    await cpOk("one:/tmp/tl", "as-link");
    assert.ok((await lstat(join(scratch, "as-link"))).isSymbolicLink());
    await cpOk("-L", "one:/tmp/tl", "as-file");
    assert.equal(await readFile(join(scratch, "as-file"), "utf8"), "target\n");
  });

  it("does not bring set-user-id programs to the host", async () => {
    await sh("cp /bin/busybox /tmp/su; chmod 4755 /tmp/su");
    await cpOk("one:/tmp/su", "su");
    assert.equal((await stat(join(scratch, "su"))).mode & 0o7777, 0o755);
  });

  it("writes a tar stream to stdout that tar reads", async () => {
    const file = join(scratch, "out.tar");
    const script = `"$@" cp one:/srv/out - > ${file}`;
    const { run } = await import("./harness.js");
    const result = await run(["sh", "-c", script, "sh", ...kiln.command], { env: kiln.env });
    assert.equal(result.code, 0, result.stderr);
    const names = execFileSync("tar", ["-tf", file], { encoding: "utf8" }).trim().split("\n").sort();
    assert.deepEqual(names, ["out/", "out/deep/", "out/deep/f", "out/l"]);
  });

  it("says that a path is not there", async () => {
    const result = await cp("one:/no/such", ".");
    assert.equal(result.code, 1);
    assert.match(result.stderr, /\/no\/such/);
  });
});

describe("vm.fs", () => {
  it("lists, makes, renames, removes and watches", async () => {
    await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}`, start: false });
    const { fs } = await sdk.vms.get("one");
    assert.equal(await fs.mkdir("/srv/app/logs", { recursive: true, mode: 0o750, uid: 5 }), true);
    await using changes = await fs.watch("/srv/app", { recursive: true });
    const told: string[] = [];
    const telling = (async () => {
      for await (const { kind, path, to } of changes) {
        told.push([kind, path, ...(to === undefined ? [] : [to])].join(" "));
        if (kind === "removed") return;
      }
    })();
    await fs.write("/srv/app/logs/a", "text");
    await fs.rename("/srv/app/logs/a", "/srv/app/b");
    const [entry] = (await fs.list("/srv/app")).filter(({ type }) => type === "file");
    assert.deepEqual([entry?.name, entry?.size, entry?.mode], ["b", 4, 0o100644]);
    await fs.remove("/srv/app/b");
    await telling;
    assert.ok(told.includes("renamed /srv/app/logs/a /srv/app/b"), told.join(", "));
    await assert.rejects(fs.remove("/srv/app"), { codeName: "failed_precondition" });
    await fs.remove("/srv/app", { recursive: true });
    assert.deepEqual([await fs.exists("/srv/app"), await fs.exists("/srv")], [false, true]);
  });

  it("stays in the VM's root, whatever a link or a name says", async () => {
    await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}`, start: false });
    const { fs } = await sdk.vms.get("one");
    await sh("ln -s ../../../../../.. /tmp/up; printf x > \"/tmp/$(printf 'n\\377')\"");
    const names = async (path: string) => (await fs.list(path)).map(({ name }) => name);
    assert.deepEqual(await names("/tmp/up/../.."), await names("/"));
    const odd = (await fs.list("/tmp")).find(({ name }) => name.startsWith("n\ufffd"));
    assert.deepEqual([...(odd?.nameBytes ?? [])], [0x6e, 0xff]);
    const path = Buffer.concat([Buffer.from("/tmp/"), odd?.nameBytes ?? Buffer.alloc(0)]);
    await fs.rename(path, "/tmp/readable");
    assert.equal(await fs.readText("/tmp/readable"), "x");
  });
});

describe("kiln cp and other VMs", () => {
  it("copies from one to another under a new name", async () => {
    await kiln.ok(["run", "-q", "-d", "--name", "two", image, "sleep", "100000"]);
    await sh("mkdir -p /srv/data; echo shared > /srv/data/f; ln /srv/data/f /srv/data/g");
    await cpOk("one:/srv/data", "two:/tmp/copied");
    assert.equal(await sh("cat /tmp/copied/f; stat -c %h /tmp/copied/g", "two"), "shared\n2\n");
  });

  it("refuses to read a stopped VM with a clear word", async () => {
    await kiln.ok(["create", "-q", "--name", "idle", image, "sleep", "100000"]);
    const result = await cp("idle:/etc/passwd", "x");
    assert.equal(result.code, 1);
    assert.match(result.stderr, /^kiln: .*idle.*\nhint: start it/s);
  });

  it("keeps what goes into a stopped VM for its start", async () => {
    const waits = /idle does not run: the copy is made at its next start/;
    for (const args of [
      ["tree/a.txt", "idle:/etc"],
      ["tree", "idle:/etc/new"],
      ["tree/.", "idle:/etc"],
    ]) {
      assert.match((await cp(...args)).stderr, waits);
    }
    await kiln.ok(["start", "idle"]);
    assert.equal(await sh("cat /etc/a.txt /etc/new/sub/b.txt /etc/sub/b.txt", "idle"), "ABB");
    await kiln.ok(["rm", "-f", "idle"]);
  });

  it("has them there before the program looks, and written once", async () => {
    await kiln.ok([
      "create",
      "-q",
      "--name",
      "reader",
      image,
      "sh",
      "-c",
      "cat /etc/a.txt; echo Z > /etc/a.txt",
    ]);
    await cp("tree/a.txt", "reader:/etc/a.txt");
    assert.equal(await kiln.ok(["start", "-a", "reader"]), "A");
    assert.equal(await kiln.ok(["start", "-a", "reader"]), "Z\n");
    await cp("tree", "reader:/etc/a.txt");
    const refused = await kiln.kiln(["start", "-a", "reader"]);
    assert.match(refused.stderr, /\/etc\/a\.txt.*not a directory/s);
    assert.equal(await kiln.ok(["start", "-a", "reader"]), "Z\n");
    await kiln.ok(["rm", "-f", "reader"]);
  });
});
