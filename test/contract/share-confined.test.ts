// What the server may do at all: as a guest would find it that has taken it over, and as the kernel shows it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, readlink, rename, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { NineCalls, O } from "../fixtures/nine-calls.js";
import { NineClient } from "../fixtures/nine-client.js";
import { refused } from "../fixtures/nine-errors.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";
import { opensNothing, statusOf, told, without } from "./share-taken.js";

const { EACCES, ENOENT, EPERM, EROFS } = constants.errno;

const isRoot = process.getuid?.() === 0;
const skip = skipWithoutCargo();

describe("kiln-share: what it may do", { skip }, () => {
  it("has no capability, no new privileges, a filter, and namespaces of its own", async (t) => {
    await using bench = await ShareBench.open();
    const { client } = await bench.calls();
    const status = await statusOf(bench);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      assert.equal(BigInt(`0x${status.get(set)}`), 0n, set);
    assert.equal(status.get("NoNewPrivs"), "1");
    assert.equal(status.get("Seccomp"), "2");
    assert.ok(!status.get("Uid")?.split("\t").includes("0"), status.get("Uid"));
    assert.equal(status.get("Threads"), "1");
    if (spawnSync("unshare", ["-U", "true"]).status !== 0)
      return t.diagnostic("there are no user namespaces here");
    for (const kind of ["user", "mnt", "net", "ipc", "uts"]) {
      const own = await readlink(`/proc/self/ns/${kind}`);
      assert.notEqual(await readlink(`/proc/${bench.process.pid}/ns/${kind}`), own, kind);
    }
    assert.equal(await readlink(`/proc/${bench.process.pid}/root`), "/");
    await opensNothing(bench, client);
    // It is mapped, and no longer than it is: by a descriptor it could be made as large as the host's memory.
    const descriptors = await readdir(`/proc/${bench.process.pid}/fd`);
    const held = descriptors.map((fd) => readlink(`/proc/${bench.process.pid}/fd/${fd}`));
    assert.ok(!(await Promise.all(held)).some((path) => path.endsWith("/ledger")));
    for (const path of ["/etc", "/proc", bench.outside])
      assert.equal(await told(client, "p", path), ENOENT, path);
    // What is the share's it may.
    assert.equal(await told(client, "w", "/file"), 0);
    assert.ok((await stat(join(bench.root, "file"))).isFile());
  });

  it("never serves as root", { skip: isRoot ? false : "it takes root to try" }, async () => {
    await using bench = await ShareBench.open({ uid: 0 });
    const { code, words } = await bench.ended();
    assert.equal(code, 78);
    assert.match(words, /^kiln-share: it never serves as the host's root: [^\n]*\n$/);
  });

  it("says what is wrong with its command line, and that trying again is no use", async () => {
    for (const args of [["--verbose"], ["--map", "range:0:0:65536"], ["--listen-fd", "5"]]) {
      await using bench = await ShareBench.open({ args });
      const { code, words } = await bench.ended();
      assert.equal(code, 78);
      assert.match(words, /^kiln-share: [^\n]+\n$/);
    }
  });

  it("goes when it is told to", async () => {
    await using bench = await ShareBench.open();
    await bench.calls();
    bench.process.kill("SIGTERM");
    assert.equal((await bench.ended()).code, 0);
  });

  it("changes nothing where it is read-only", async () => {
    await using bench = await ShareBench.open({ args: ["--read-only"] });
    await writeFile(join(bench.root, "file"), "content");
    await bench.give(join(bench.root, "file"));
    const client = await bench.client();
    assert.equal(client.hello.readUInt32LE(28), 1);
    const nine = new NineCalls(client);
    await nine.start();
    const fid = await nine.open(O.rdonly, "file");
    assert.equal((await nine.read(fid, 0, 10)).toString(), "content");
    await refused(nine.open(O.wronly, "file"), "EROFS");
    await refused(nine.open(O.rdonly | O.trunc, "file"), "EROFS");
    await refused(nine.create(0, "new"), "EROFS");
    await refused(nine.mkdir(0, "new"), "EROFS");
    await refused(nine.unlink(0, "file"), "EROFS");
    await refused(nine.rename(0, "file", 0, "other"), "EROFS");
    await refused(nine.link(0, fid, "other"), "EROFS");
    await refused(nine.setattr(fid, { mode: 0o600 }), "EROFS");
    await refused(nine.setxattr(fid, "user.a", "x"), "EROFS");
    await refused(nine.write(fid, 0, "x"), "EBADF");
    assert.ok([EACCES, EROFS].includes(await told(client, "w", "/new")));
    assert.deepEqual(await readdir(bench.root), ["file"]);
  });

  it("shows one file of a directory and nothing else", async () => {
    await using bench = await ShareBench.open({ args: ["--name", "one.conf"] });
    for (const name of ["one.conf", "other.conf"]) {
      await writeFile(join(bench.root, name), name);
      await bench.give(join(bench.root, name));
    }
    const nine = await bench.calls();
    assert.deepEqual((await nine.list(await nine.open(O.rdonly))).map(String), ["one.conf"]);
    await refused(nine.walk(0, ["other.conf"]), "ENOENT");
    await refused(nine.create(0, "other.conf"), "EPERM");
    await refused(nine.create(0, "new"), "EPERM");
    await refused(nine.unlink(0, "one.conf"), "EPERM");
    await refused(nine.rename(0, "other.conf", 0, "one.conf"), "EPERM");
    await nine.write(await nine.open(O.rdwr, "one.conf"), 0, "ONE");
    assert.equal(await readFile(join(bench.root, "one.conf"), "utf8"), "ONE.conf");
    // Editors put another file in its place.
    await writeFile(join(bench.root, "tmp"), "replaced");
    await bench.give(join(bench.root, "tmp"));
    await rename(join(bench.root, "tmp"), join(bench.root, "one.conf"));
    assert.equal((await nine.read(await nine.open(O.rdonly, "one.conf"), 0, 100)).toString(), "replaced");
  });

  it("gives files to the guest's users where ids are mapped", {
    skip: isRoot ? false : "it takes root",
  }, async () => {
    const first = 100_000;
    await using bench = await ShareBench.open({
      uid: 0,
      args: ["--map", `range:0:${first}:65536`],
      owner: first,
    });
    const nine = new NineCalls(await bench.client());
    await nine.start(undefined, 5);
    await nine.clunk(await nine.create(0, "excl", O.rdwr | O.excl, 0o644, 6));
    await nine.clunk(await nine.create(0, "plain", O.rdwr, 0o644, 6));
    await nine.mkdir(0, "dir");
    await nine.symlink(0, "link", "x");
    for (const name of ["excl", "plain", "dir"])
      assert.equal((await stat(join(bench.root, name))).uid, first + 5, name);
    assert.equal((await stat(join(bench.root, "excl"))).gid, first + 6);
    const fid = await nine.at("plain");
    await nine.setattr(fid, { uid: 7, gid: 8 });
    const { uid, gid } = await nine.getattr(fid);
    assert.deepEqual([uid, gid], [7, 8]);
    await refused(nine.setattr(fid, { uid: 65_536 }), "EINVAL");
    await nine.setattr(fid, { mode: 0o6755 });
    assert.equal((await stat(join(bench.root, "plain"))).mode & 0o7777, 0o755);
    const status = await statusOf(bench);
    // CHOWN, DAC_OVERRIDE, FOWNER.
    assert.equal(BigInt(`0x${status.get("CapEff")}`), 0b1011n);
    assert.equal(status.get("Uid")?.split("\t")[0], String(first));
    await opensNothing(bench, nine.client);
  });

  it("listens where the VMM connects, and the newest connection wins", async () => {
    await using bench = await ShareBench.open({ listens: true });
    const dial = async () => {
      const socket = connect(bench.listening);
      await once(socket, "connect");
      const nine = new NineCalls(await NineClient.open(socket));
      await nine.start();
      return nine;
    };
    const first = await dial();
    const second = await dial();
    await assert.rejects(first.getattr(0));
    assert.ok((await second.getattr(0)).mode > 0);
    assert.equal(await told(second.client, "s", "1"), EPERM);
  });
});

const UNSHARE = 272;
const LANDLOCK_CREATE_RULESET = 444;

describe("kiln-share: one line of defence alone", { skip }, () => {
  it("Landlock, where no namespace can be had: nothing is opened, and nothing that was moved out", async () => {
    await using bench = await ShareBench.open({ within: without(UNSHARE) });
    const nine = await bench.calls();
    await opensNothing(bench, nine.client);
    await nine.mkdir(0, "moved");
    const dir = await nine.at("moved");
    await nine.clunk(await nine.create(dir, "file"));
    const file = await nine.at("moved", "file");
    await rename(join(bench.root, "moved"), join(bench.outside, "moved"));
    await refused(nine.lopen(file), "EACCES");
    await refused(nine.create(dir, "new"), "EACCES");
  });

  it("namespaces, where there is no Landlock", async () => {
    await using bench = await ShareBench.open({ within: without(LANDLOCK_CREATE_RULESET) });
    const nine = await bench.calls();
    await opensNothing(bench, nine.client);
    await nine.clunk(await nine.create(0, "file", O.rdwr | O.excl));
    assert.deepEqual(await readdir(bench.root), ["file"]);
  });

  it("neither: it refuses", async () => {
    await using bench = await ShareBench.open({ within: without(UNSHARE, LANDLOCK_CREATE_RULESET) });
    const { code, words } = await bench.ended();
    assert.equal(code, 78);
    assert.match(words, /^kiln-share: nothing would confine it: [^\n]*\n$/);
  });
});
