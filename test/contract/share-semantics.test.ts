// What programs notice of a file system, asked of the server itself.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstat, readFile, readlink, rename, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type NineCalls, O } from "../fixtures/nine-calls.js";
import { NO_FID, T, u32 } from "../fixtures/nine-client.js";
import { refused } from "../fixtures/nine-errors.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";

const S_IFMT = 0o170000;
const REMOVE_DIRECTORY = 0x200;

describe("kiln-share: what programs notice", { skip: skipWithoutCargo() }, () => {
  let bench: ShareBench;
  let nine: NineCalls;
  before(async () => {
    bench = await ShareBench.open();
    nine = await bench.calls();
  });
  after(() => bench[Symbol.asyncDispose]());
  const host = (name: string | Buffer) =>
    Buffer.concat([Buffer.from(`${bench.root}/`), Buffer.from(name as string)]);
  /** A file of the server's user, written on the host. */
  async function hostFile(name: string, content: string): Promise<void> {
    await writeFile(host(name), content);
    await bench.give(join(bench.root, name));
  }

  it("writes what the host reads at once, and the other way", async () => {
    const fid = await nine.create(0, "both");
    await nine.write(fid, 0, "from the guest");
    assert.equal(await readFile(host("both"), "utf8"), "from the guest");
    await writeFile(host("both"), "from the host");
    assert.equal((await nine.read(fid, 0, 100)).toString(), "from the host");
  });

  it("sees what the host has put in a name's place, and goes on with what is open", async () => {
    await hostFile("replaced", "old");
    const old = await nine.open(O.rdonly, "replaced");
    await hostFile("replaced.new", "new");
    await rename(host("replaced.new"), host("replaced"));
    assert.equal((await nine.read(await nine.open(O.rdonly, "replaced"), 0, 10)).toString(), "new");
    assert.equal((await nine.read(old, 0, 10)).toString(), "old");
  });

  it("renames over what is open", async () => {
    const target = await nine.create(0, "target");
    await nine.write(target, 0, "kept");
    await nine.clunk(await nine.create(0, "source"));
    await nine.rename(0, "source", 0, "target");
    assert.equal((await nine.read(target, 0, 10)).toString(), "kept");
    assert.equal((await nine.getattr(target)).nlink, 0n);
    assert.equal((await stat(host("target"))).size, 0);
  });

  it("reads, writes, cuts and looks at what is unlinked and open", async () => {
    const fid = await nine.create(0, "gone");
    await nine.unlink(0, "gone");
    await nine.write(fid, 0, "still here");
    await nine.setattr(fid, { size: 5 });
    assert.equal((await nine.read(fid, 0, 100)).toString(), "still");
    const { nlink, size } = await nine.getattr(fid);
    assert.deepEqual([nlink, size], [0n, 5n]);
  });

  it("makes a file with O_EXCL once", async () => {
    await nine.clunk(await nine.create(0, "excl", O.rdwr | O.excl, 0o600));
    await refused(nine.create(0, "excl", O.rdwr | O.excl), "EEXIST");
    assert.equal((await stat(host("excl"))).mode & 0o7777, 0o600);
    await nine.clunk(await nine.create(0, "excl", O.rdwr));
  });

  it("writes a file that it makes without the right to write it", async () => {
    for (const flags of [O.rdwr, O.rdwr | O.excl]) {
      const fid = await nine.create(0, `r${flags}`, flags, 0o444);
      assert.equal(await nine.write(fid, 0, "object"), 6);
      await refused(nine.open(O.wronly, `r${flags}`), "EACCES");
    }
  });

  it("writes where the guest says, whatever it opened with", async () => {
    const fid = await nine.create(0, "append", O.rdwr | O.append);
    await nine.write(fid, 0, "abc");
    await nine.write(fid, 0, "x");
    assert.equal(await readFile(host("append"), "utf8"), "xbc");
  });

  it("cuts and grows, by name and by what is open, and cuts at an open", async () => {
    await hostFile("size", "0123456789");
    await nine.setattr(await nine.at("size"), { size: 4 });
    assert.equal(await readFile(host("size"), "utf8"), "0123");
    await nine.setattr(await nine.open(O.rdwr, "size"), { size: 8192 });
    assert.equal((await stat(host("size"))).size, 8192);
    await nine.open(O.rdwr | O.trunc, "size");
    assert.equal((await stat(host("size"))).size, 0);
    await refused(nine.setattr(0, { size: 0 }), "EISDIR");
  });

  it("writes behind 4 GiB and keeps the hole", async () => {
    const fid = await nine.create(0, "large");
    await nine.write(fid, 5n << 30n, "behind");
    const { size, blocks } = await stat(host("large"));
    assert.equal(size, 5 * 2 ** 30 + 6);
    assert.ok(blocks * 512 < 2 ** 20, "the hole takes room");
    assert.equal((await nine.read(fid, 5n << 30n, 10)).toString(), "behind");
    assert.deepEqual(await nine.read(fid, 1n << 32n, 4), Buffer.alloc(4));
    await truncate(host("large"), 0);
  });

  it("links, hard and symbolic", async () => {
    const fid = await nine.create(0, "linked");
    await nine.link(0, fid, "other");
    assert.equal((await nine.getattr(fid)).nlink, 2n);
    assert.equal((await lstat(host("other"))).ino, (await lstat(host("linked"))).ino);
    await refused(nine.link(0, fid, "other"), "EEXIST");
    await nine.symlink(0, "soft", "../anywhere/at/all");
    assert.equal(await readlink(host("soft"), "utf8"), "../anywhere/at/all");
    assert.equal((await nine.readlink(await nine.at("soft"))).toString(), "../anywhere/at/all");
    await nine.link(0, await nine.at("soft"), "soft too");
    assert.equal((await lstat(host("soft"))).nlink, 2);
  });

  it("takes times to the nanosecond, and those of a symbolic link", async () => {
    await nine.clunk(await nine.create(0, "times"));
    await symlink("nowhere", host("times-link"));
    for (const name of ["times", "times-link"]) {
      const fid = await nine.at(name);
      await nine.setattr(fid, { mtime: [1234567890, 123456789] }).catch((error) => {
        // The host's own link is not the server's to change.
        assert.equal(name, "times-link", String(error));
      });
      if (name === "times") assert.deepEqual((await nine.getattr(fid)).mtime, [1234567890n, 123456789n]);
    }
    await nine.symlink(0, "own-link", "nowhere");
    await nine.setattr(await nine.at("own-link"), { mtime: [5, 6] });
    assert.deepEqual((await nine.getattr(await nine.at("own-link"))).mtime, [5n, 6n]);
  });

  it("keeps names of any bytes", async () => {
    const name = Buffer.from([0xff, 0xfe, 0x0a, 0x20, 0x80]);
    await nine.clunk(await nine.create(0, name));
    assert.ok((await lstat(host(name))).isFile());
    const names = await nine.list(await nine.open(O.rdonly));
    assert.ok(names.some((listed) => listed.equals(name)));
    await nine.clunk(await nine.create(0, "x".repeat(255)));
    await refused(nine.create(0, "x".repeat(256)), "ENAMETOOLONG");
  });

  it("keeps attributes of the user's", async () => {
    const fid = await nine.create(0, "attributes");
    await nine.setxattr(fid, "user.a", "value");
    assert.equal((await nine.getxattr(fid, "user.a")).toString(), "value");
    assert.equal((await nine.getxattr(fid, "")).toString(), "user.a\0");
    await refused(nine.setxattr(fid, "user.a", "again", 1), "EEXIST");
    await nine.setxattr(fid, "user.a", "other", 2);
    await nine.setxattr(fid, "user.empty", "");
    assert.equal((await nine.getxattr(fid, "user.empty")).length, 0);
    await nine.setxattr(fid, "user.a", "", 2);
    await refused(nine.getxattr(fid, "user.a"), "ENODATA");
    for (const name of ["trusted.a", "security.capability", "system.posix_acl_access"])
      await refused(nine.setxattr(fid, name, "x"), "EOPNOTSUPP");
  });

  it("has FIFOs and sockets, which the guest's kernel serves", async () => {
    await nine.mknod(0, "fifo", 0o010644);
    await nine.mknod(0, "socket", 0o140644);
    assert.equal((await nine.getattr(await nine.at("fifo"))).mode & S_IFMT, 0o010000);
    assert.ok((await lstat(host("socket"))).isSocket());
  });

  it("makes, moves and removes directories", async () => {
    await nine.mkdir(0, "dir", 0o750);
    await nine.mkdir(await nine.at("dir"), "sub");
    await refused(nine.mkdir(0, "dir"), "EEXIST");
    await refused(nine.unlink(0, "dir", REMOVE_DIRECTORY), "ENOTEMPTY");
    await nine.mkdir(0, "dir2");
    await nine.rename(await nine.at("dir"), "sub", await nine.at("dir2"), "moved");
    await refused(nine.rename(0, "dir2", await nine.at("dir2", "moved"), "loop"), "EINVAL");
    await nine.unlink(0, "dir", REMOVE_DIRECTORY);
    await refused(nine.unlink(0, "dir2"), "EISDIR");
    assert.ok((await stat(host("dir2/moved"))).isDirectory());
  });

  it("removes what it lists, while it lists", async () => {
    await nine.mkdir(0, "list");
    const dir = await nine.at("list");
    for (let number = 0; number < 500; number++) await nine.clunk(await nine.create(dir, `n${number}`));
    const open = await nine.open(O.rdonly, "list");
    let removed = 0;
    for (let offset = 0n; ; ) {
      const entries = await nine.readdir(open, offset, 1000);
      const last = entries.at(-1);
      if (last === undefined) break;
      offset = last.next;
      for (const { name } of entries.filter((entry) => !/^\.\.?$/.test(entry.name.toString()))) {
        await nine.unlink(dir, name);
        removed++;
      }
    }
    assert.equal(removed, 500);
    assert.deepEqual(await nine.list(await nine.open(O.rdonly, "list")), []);
  });

  it("has the file system's numbers, and syncs", async () => {
    const answer = await nine.client.ask(T.statfs, [u32(0)]);
    assert.equal(answer.readUInt32LE(0), 0x01021997);
    assert.ok(answer.readBigUInt64LE(8) > 0n);
    const fid = await nine.create(0, "synced");
    await nine.write(fid, 0, "x");
    await Promise.all([nine.fsync(fid), nine.fsync(fid), nine.fsync(fid)]);
    await nine.fsync(await nine.open(O.rdonly));
  });

  it("shows its own files as root's, and nobody else's as anybody's", async () => {
    const fid = await nine.create(0, "owned");
    const { uid, gid } = await nine.getattr(fid);
    assert.deepEqual([uid, gid], [0, 0]);
    await nine.setattr(fid, { uid: 0, gid: 0 });
    await refused(nine.setattr(fid, { uid: 1000 }), "EPERM");
    await refused(nine.setattr(fid, { gid: 7 }), "EPERM");
    if (process.getuid?.() === 0) {
      await writeFile(host("foreign"), "");
      assert.equal((await nine.getattr(await nine.at("foreign"))).uid, 65_534);
    }
  });

  it("has programs ask for much at once, where a message carries it", async () => {
    assert.equal((await nine.getattr(await nine.create(0, "at-once"))).atOnce, 128n * 1024n);
  });

  it("gives fids and takes them back", async () => {
    const fid = await nine.at();
    await refused(nine.walk(0, [], fid), "EBADF");
    await refused(nine.walk(0, [], NO_FID), "EBADF");
    await nine.clunk(fid);
    await refused(nine.getattr(fid), "EBADF");
    await refused(nine.client.ask(T.remove, [u32(await nine.at("owned"))]), "EOPNOTSUPP");
    assert.equal(await nine.walk(0, ["dir2", "no", "such"]), undefined);
    await refused(nine.walk(0, ["no"]), "ENOENT");
  });

  it("lists 100,000 names, each once", async () => {
    const total = 100_000;
    await nine.mkdir(0, "many", 0o777);
    execFileSync("sh", ["-c", `seq ${total} | xargs touch`], { cwd: join(bench.root, "many") });
    const names = await nine.list(await nine.open(O.rdonly, "many"), 500_000);
    assert.equal(names.length, total);
    assert.equal(new Set(names.map((name) => name.toString())).size, total);
  });
});
