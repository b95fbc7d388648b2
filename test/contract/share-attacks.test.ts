// A guest that wants out, asked of the server itself: an error and nothing else.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type NineCalls, O } from "../fixtures/nine-calls.js";
import { HungUp, message, NineError, T, text, u16, u32, u64 } from "../fixtures/nine-client.js";
import { refused } from "../fixtures/nine-errors.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";

describe("kiln-share: a guest that wants out", { skip: skipWithoutCargo() }, () => {
  let bench: ShareBench;
  let nine: NineCalls;
  before(async () => {
    bench = await ShareBench.open();
    await writeFile(join(bench.outside, "secret"), "secret");
    await bench.give(join(bench.outside, "secret"));
    await mkdir(join(bench.root, "dir"));
    await bench.give(join(bench.root, "dir"));
    nine = await bench.calls();
  });
  after(async () => {
    assert.deepEqual(await readdir(bench.outside), ["secret"]);
    assert.equal(await readFile(join(bench.outside, "secret"), "utf8"), "secret");
    await bench[Symbol.asyncDispose]();
  });

  const ways = ["..", ".", "", "../outside", "/etc/passwd", "dir/..", "dir/../../outside", "a\0b"];
  for (const way of ways) {
    it(`by the name ${JSON.stringify(way)}`, async () => {
      await refused(nine.walk(0, [way]), "EINVAL");
      await refused(nine.create(0, way), "EINVAL");
      await refused(nine.mkdir(0, way), "EINVAL");
      await refused(nine.symlink(0, way, "x"), "EINVAL");
      await refused(nine.mknod(0, way, 0o100644), "EINVAL");
      await refused(nine.unlink(0, way), "EINVAL");
      await refused(nine.rename(0, "dir", 0, way), "EINVAL");
      await refused(nine.rename(0, way, 0, "dir"), "EINVAL");
      await refused(nine.link(0, 0, way), "EINVAL");
      assert.equal(await nine.walk(0, ["dir", way]), undefined);
    });
  }

  it("by symbolic links: absolute, relative, dangling, magic", async () => {
    const targets = [
      "/etc/shadow",
      "../outside/secret",
      "/nowhere",
      "/proc/self/root",
      "/proc/self/fd/3",
      "/dev/null",
    ];
    for (const [index, target] of targets.entries()) {
      const name = `link${index}`;
      await nine.symlink(0, name, target);
      const fid = await nine.at(name);
      await refused(nine.lopen(fid), "ELOOP");
      await refused(nine.lopen(fid, O.wronly | O.trunc), "ELOOP");
      await refused(nine.create(0, name), "ELOOP");
      await refused(nine.create(0, name, O.rdwr | O.excl), "EEXIST");
      await refused(nine.setattr(fid, { size: 0 }), "ELOOP");
      await refused(nine.setattr(fid, { mode: 0o777 }), "EOPNOTSUPP");
      await refused(nine.setxattr(fid, "user.a", "x"), "EOPNOTSUPP");
      await refused(nine.mkdir(fid, "x"), "ENOTDIR");
      assert.equal(await nine.walk(0, [name, "passwd"]), undefined);
    }
    await symlink(bench.outside, join(bench.root, "out"));
    assert.equal(await nine.walk(0, ["out", "secret"]), undefined);
  });

  it("by what the host has of processes, where that is mounted below", async (t) => {
    if (process.getuid?.() !== 0) return t.diagnostic("it takes root to mount");
    await using other = await ShareBench.open();
    const proc = join(other.root, "proc");
    await other.calls();
    await other.kill();
    await mkdir(proc);
    execFileSync("mount", ["--bind", "/proc", proc]);
    try {
      other.start();
      const calls = await other.calls();
      const own = ["proc", String(other.process.pid)];
      for (const name of ["mem", "comm", "oom_score_adj", "clear_refs"])
        for (const flags of [O.wronly, O.rdwr]) await refused(calls.open(flags, ...own, name), "EACCES");
      for (const link of ["root", "cwd", "exe", "fd/0"])
        await refused(calls.open(O.rdonly, ...own, ...link.split("/")), "ELOOP");
      assert.ok((await calls.read(await calls.open(O.rdonly, ...own, "comm"), 0, 20)).length > 0);
    } finally {
      execFileSync("umount", ["--lazy", proc]);
    }
  });

  it("by device nodes, made or found", async () => {
    for (const mode of [0o020666, 0o060666, 0o160000])
      await refused(nine.mknod(0, "device", mode, 1, 3), "EPERM");
    if (process.getuid?.() !== 0) return;
    execFileSync("mknod", [join(bench.root, "null"), "c", "1", "3"]);
    execFileSync("mkfifo", [join(bench.root, "pipe")]);
    for (const name of ["null", "pipe"]) {
      await bench.give(join(bench.root, name));
      await refused(nine.lopen(await nine.at(name)), "EPERM");
      await refused(nine.create(0, name), "EPERM");
      await refused(nine.setattr(await nine.at(name), { size: 0 }), "EPERM");
    }
  });

  it("by programs that run as the file's owner", async () => {
    const fid = await nine.create(0, "suid", O.rdwr, 0o6755);
    assert.equal((await stat(join(bench.root, "suid"))).mode & 0o7777, 0o755);
    await nine.setattr(fid, { mode: 0o6711 });
    assert.equal((await stat(join(bench.root, "suid"))).mode & 0o7777, 0o711);
    await nine.clunk(await nine.create(0, "suid2", O.rdwr | O.excl, 0o4755));
    await nine.mknod(0, "suid3", 0o104755);
    await nine.mkdir(0, "suid4", 0o4755);
    for (const name of ["suid2", "suid3", "suid4"])
      assert.equal((await stat(join(bench.root, name))).mode & 0o4000, 0, name);
  });

  it("by a name that becomes a link between two looks", async (t) => {
    await mkdir(join(bench.root, "swap"));
    await writeFile(join(bench.root, "swap/secret"), "inside");
    await symlink(bench.outside, join(bench.root, "swap.link"));
    // Where the race is, is another process's affair: it swaps the two names as fast as it can.
    const swap = swapper(join(bench.root, "swap"), join(bench.root, "swap.link"));
    const seen = { inside: 0, refused: 0 };
    try {
      for (let count = 0; count < 3000; count++) {
        const content = await nine
          .at("swap", "secret")
          .then(async (fid) => {
            await nine.lopen(fid);
            const bytes = await nine.read(fid, 0, 100);
            await nine.clunk(fid);
            return bytes.toString();
          })
          .catch(() => "refused");
        assert.notEqual(content, "secret");
        seen[content === "inside" ? "inside" : "refused"]++;
      }
    } finally {
      swap.end();
    }
    t.diagnostic(`${seen.inside} inside, ${seen.refused} refused`);
    assert.ok(seen.inside > 0 && seen.refused > 0, "there was no race");
  });

  it("by a directory that the host has moved out", async () => {
    await nine.mkdir(0, "moved");
    await nine.clunk(await nine.create(await nine.at("moved"), "file"));
    const [dir, file] = [await nine.at("moved"), await nine.at("moved", "file")];
    await nine.lopen(await nine.at("moved", "file"));
    await rename(join(bench.root, "moved"), join(bench.outside, "moved"));
    const gone = ["ESTALE", "EACCES", "EXDEV"] as const;
    await refused(nine.lopen(file), ...gone);
    await refused(nine.lopen(dir), ...gone);
    await refused(nine.walk(dir, ["file"]), ...gone);
    await refused(nine.create(dir, "new"), ...gone);
    await refused(nine.create(dir, "new", O.rdwr | O.excl), ...gone);
    await refused(nine.mkdir(dir, "new"), ...gone);
    await refused(nine.unlink(dir, "file"), ...gone);
    await refused(nine.rename(dir, "file", 0, "stolen"), ...gone);
    await refused(nine.link(0, file, "stolen"), ...gone);
    await refused(nine.setattr(file, { mode: 0o777 }), ...gone);
    assert.deepEqual(await readdir(join(bench.outside, "moved")), ["file"]);
    await rm(join(bench.outside, "moved"), { recursive: true });
  });

  it("by numbers that mean nothing", async () => {
    const fid = await nine.create(0, "numbers");
    await nine.write(fid, 0, "0123456789");
    assert.equal((await nine.read(fid, 0, 0xffffffff)).toString(), "0123456789");
    await refused(nine.read(fid, 1n << 63n, 1), "EINVAL");
    await refused(nine.write(fid, 0xffffffffffffffffn, "x"), "EINVAL");
    await refused(nine.setattr(fid, { size: 1n << 63n }), "EFBIG", "EINVAL");
    await refused(nine.setattr(fid, { mtime: [0, 1_000_000_000] }), "EINVAL");
    await refused(nine.lopen(fid), "EBADF");
    await refused(nine.lopen(await nine.at("numbers"), 3), "EINVAL");
    const xattr = [u32(await nine.at("numbers")), text("user.a"), u64(1n << 40n), u32(0)];
    await refused(nine.client.ask(T.xattrcreate, xattr), "E2BIG");
    await refused(nine.client.ask(T.unlinkat, [u32(0), text("numbers"), u32(7)]), "EINVAL");
    await refused(
      nine.client.ask(T.walk, [u32(0), u32(9_000_000), u16(17), ...Array(17).fill(text("a"))]),
      "EINVAL",
    );
    await refused(nine.client.ask(77, []), "EOPNOTSUPP");
  });

  it("by bodies that are cut short or too long", async () => {
    for (const type of Object.values(T).filter((type) => type !== T.told)) {
      for (const body of [[], [u16(1)], [u32(0), u16(60_000)], [Buffer.alloc(300, 0xff)]]) {
        const tag = 700;
        await nine.client.ask(type, body, tag).catch((error) => assert.ok(error instanceof NineError));
      }
    }
    assert.ok((await nine.list(await nine.open(O.rdonly))).length > 0);
  });

  it("by a million fids", async () => {
    await using other = await ShareBench.open();
    const held = await other.calls();
    const walk = (fid: number) => message(T.walk, fid % 60_000, [u32(0), u32(fid), u16(0)]);
    let granted = 0;
    const errnos = new Set<number>();
    for (let first = 1; first < 1_000_000; first += 10_000) {
      const fids = Array.from({ length: 10_000 }, (_, index) => first + index);
      const answers = fids.map((fid) => held.client.expect(fid % 60_000));
      held.client.raw(Buffer.concat(fids.map(walk)));
      for (const result of await Promise.allSettled(answers)) {
        if (result.status === "fulfilled") granted++;
        else errnos.add((result.reason as NineError).errno);
      }
    }
    assert.ok(granted > 1000 && granted < 16_384, `${granted} fids`);
    assert.deepEqual([...errnos], [23]);
    const memory = await readFile(`/proc/${other.process.pid}/status`, "utf8");
    assert.ok(Number(/VmRSS:\s+(\d+)/.exec(memory)?.[1]) < 64 * 1024, memory);
  });

  it("by lengths that no message has: the session ends, and the next begins", async () => {
    for (const length of [0, 6, 1 << 21, 0xffffffff]) {
      await using other = await ShareBench.open();
      const held = await other.calls();
      const answer = held.client.expect(1);
      held.client.raw(Buffer.concat([u32(length), Buffer.alloc(20)]));
      await assert.rejects(answer, HungUp);
      const again = await other.calls();
      assert.ok((await again.getattr(0)).mode > 0);
    }
  });
});

describe("kiln-share: a guest that has one file", { skip: skipWithoutCargo() }, () => {
  it("changes nothing of the directory that it lies in", async () => {
    await using bench = await ShareBench.open({ args: ["--name", "file"] });
    await writeFile(join(bench.root, "file"), "content");
    await bench.give(join(bench.root, "file"));
    const nine = await bench.calls();
    const before = await stat(bench.root, { bigint: true });
    await refused(nine.setattr(0, { mode: 0o777 }), "EPERM");
    await refused(nine.setattr(0, { mtime: [5, 0] }), "EPERM");
    await refused(nine.setattr(0, { uid: 0 }), "EPERM");
    await refused(nine.setxattr((await nine.walk(0, [])) ?? 0, "user.guest", "x"), "EPERM");
    await refused(nine.getxattr(0, "user.host"), "EPERM");
    await refused(nine.getxattr(0, ""), "EPERM");
    const open = (await nine.walk(0, [])) ?? 0;
    await nine.lopen(open);
    await refused(nine.lock(open, 0), "EPERM");
    await refused(nine.getlock(open, 0), "EPERM");
    const after = await stat(bench.root, { bigint: true });
    assert.deepEqual(
      [after.mode, after.uid, after.mtimeNs, after.ctimeNs],
      [before.mode, before.uid, before.mtimeNs, before.ctimeNs],
    );
    await nine.setattr(await nine.at("file"), { mode: 0o600 });
    await nine.setxattr(await nine.at("file"), "user.guest", "x");
    assert.equal((await stat(join(bench.root, "file"))).mode & 0o777, 0o600);
  });
});

/** Exchanges two names until told to stop. */
function swapper(a: string, b: string): { end(): void } {
  const script = `my ($a, $b) = @ARGV; while (1) { syscall(316, -100, $a, -100, $b, 2) == 0 or die $! }`;
  const child = spawn("perl", ["-e", script, a, b], { stdio: "ignore" });
  return { end: () => child.kill("SIGKILL") };
}
