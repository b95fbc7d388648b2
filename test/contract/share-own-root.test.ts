// Root's own directories: served as root's, by a server that never is root.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { chmod, chown, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { O_PATH } from "../../src/base/pinned.js";
import { type NineCalls, O } from "../fixtures/nine-calls.js";
import { refused } from "../fixtures/nine-errors.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench, testShare } from "./share-bench.js";
import { opensNothing, statusOf, told, without } from "./share-taken.js";

const SERVER = 1_900_131_072;
const OTHER = 12_345;
const NOBODY = 65_534;
const { EPERM } = constants.errno;
const MOUNT_SETATTR = 442;

const skip = process.getuid?.() === 0 ? skipWithoutCargo() : "it takes root";

async function opened(within: readonly string[] = [], more: readonly string[] = []): Promise<ShareBench> {
  const args = ["--as", `${SERVER}:${SERVER}`, "--own-root", ...more];
  const bench = await ShareBench.open({ uid: 0, owner: 0, args, within });
  await chmod(bench.root, 0o700);
  // As kilnd does for a server of another user.
  await chmod(bench.socket, 0o666);
  return bench;
}

async function put(bench: ShareBench, name: string, mode: number, owner = 0): Promise<void> {
  const path = join(bench.root, name);
  await writeFile(path, name);
  await chown(path, owner, owner);
  await chmod(path, mode);
}

async function read(nine: NineCalls, name: string): Promise<string> {
  const fid = await nine.open(O.rdonly, name);
  return (await nine.read(fid, 0, 100)).toString();
}

describe("kiln-share: a directory of root's", { skip }, () => {
  it("is the guest's to read and write, and what is made is root's on disk", async () => {
    await using bench = await opened();
    await put(bench, "secret", 0o600);
    const nine = await bench.calls();
    assert.equal(await read(nine, "secret"), "secret");
    await nine.write(await nine.open(O.rdwr, "secret"), 0, "SEC");
    assert.equal(await readFile(join(bench.root, "secret"), "utf8"), "SECret");
    await nine.clunk(await nine.create(0, "excl", O.rdwr | O.excl, 0o640));
    await nine.clunk(await nine.create(0, "plain", O.rdwr, 0o600));
    await nine.mkdir(0, "dir");
    await nine.clunk(await nine.create(await nine.at("dir"), "below", O.rdwr));
    await nine.symlink(0, "link", "x");
    for (const name of ["excl", "plain", "dir", "dir/below"]) {
      const { uid, gid } = await stat(join(bench.root, name));
      assert.deepEqual([uid, gid], [0, 0], name);
      const shown = await nine.getattr(await nine.at(...name.split("/")));
      assert.deepEqual([shown.uid, shown.gid], [0, 0], name);
    }
    await nine.rename(0, "plain", 0, "other");
    await nine.unlink(0, "other");
    await refused(nine.setattr(await nine.at("excl"), { uid: OTHER }), "EPERM");
  });

  it("keeps what is others' theirs, as they let everybody", async () => {
    await using bench = await opened();
    await put(bench, "shut", 0o600, OTHER);
    await put(bench, "read", 0o644, OTHER);
    await put(bench, "written", 0o666, OTHER);
    await put(bench, "servers", 0o600, SERVER);
    const nine = await bench.calls();
    // The server's own user owns nothing there: the map has no place for him.
    for (const [name, why] of [
      ["shut", "EPERM"],
      ["servers", "EOVERFLOW"],
    ] as const) {
      await refused(nine.open(O.rdonly, name), "EACCES");
      await refused(nine.setattr(await nine.at(name), { mode: 0o666 }), why);
    }
    assert.equal(await read(nine, "read"), "read");
    await refused(nine.open(O.wronly, "read"), "EACCES");
    assert.equal((await nine.getattr(await nine.at("read"))).uid, NOBODY);
    await nine.write(await nine.open(O.rdwr, "written"), 0, "W");
    assert.equal((await stat(join(bench.root, "written"))).uid, OTHER);
  });

  it("gets no program that runs as somebody, by a guest or by whoever has taken the server over", async () => {
    await using bench = await opened();
    await put(bench, "program", 0o4755);
    await put(bench, "others", 0o4755, OTHER);
    const nine = await bench.calls();
    await nine.setattr(await nine.at("program"), { mode: 0o6755 });
    assert.equal((await stat(join(bench.root, "program"))).mode & 0o7777, 0o755);
    await refused(nine.setattr(await nine.at("others"), { mode: 0o4777 }), "EPERM");
    await refused(nine.open(O.rdwr, "others"), "EACCES");
    for (const [what, path] of [
      ["x", "/program"],
      ["m", "/made"],
    ] as const)
      assert.equal(await told(nine.client, what, path), EPERM, what);
    assert.equal((await stat(join(bench.root, "program"))).mode & 0o7777, 0o755);
  });

  it("gets no group to hand on either, but what the host has given one", async () => {
    await using bench = await opened();
    await mkdir(join(bench.root, "shared"));
    await chmod(join(bench.root, "shared"), 0o2775);
    const nine = await bench.calls();
    const modeOf = async (name: string) => (await stat(join(bench.root, name))).mode & 0o7777;
    await nine.mkdir(0, "plain");
    await refused(nine.setattr(await nine.at("plain"), { mode: 0o2755 }), "EPERM");
    await nine.mkdir(await nine.at("shared"), "below");
    assert.equal((await modeOf("shared/below")) & 0o2000, 0o2000);
    await nine.setattr(await nine.at("plain"), { mode: 0o1777 });
    assert.equal(await modeOf("plain"), 0o1777);
    await using somebodys = await ShareBench.open();
    const calls = await somebodys.calls();
    await calls.mkdir(0, "plain");
    await calls.setattr(await calls.at("plain"), { mode: 0o2755 });
    assert.equal((await stat(join(somebodys.root, "plain"))).mode & 0o7777, 0o2755);
  });

  it("is served by nobody who is root, with no capability, in a mount that the host does not see", async () => {
    const before = await readFile("/proc/self/mountinfo", "utf8");
    await using bench = await opened();
    const nine = await bench.calls();
    const status = await statusOf(bench);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      assert.equal(BigInt(`0x${status.get(set)}`), 0n, set);
    for (const ids of ["Uid", "Gid"])
      assert.deepEqual(new Set(status.get(ids)?.split("\t")), new Set([String(SERVER)]), ids);
    assert.equal(status.get("Groups")?.trim(), "");
    await opensNothing(bench, nine.client);
    assert.equal(await readFile("/proc/self/mountinfo", "utf8"), before);
  });

  it("is read and not written where it is read-only", async () => {
    await using bench = await opened([], ["--read-only"]);
    await put(bench, "secret", 0o600);
    const nine = await bench.calls();
    assert.equal(await read(nine, "secret"), "secret");
    await refused(nine.open(O.rdwr, "secret"), "EROFS");
    await refused(nine.create(0, "new"), "EROFS");
  });

  it("is found as it was by a server that takes a dead one's place", async () => {
    await using bench = await opened();
    const nine = await bench.calls();
    await nine.clunk(await nine.create(0, "kept", O.rdwr | O.excl, 0o600));
    await bench.kill();
    bench.start();
    const again = await bench.calls();
    assert.equal(await read(again, "kept"), "");
    assert.equal((await stat(join(bench.root, "kept"))).uid, 0);
  });

  it("is told of before, where it cannot be served so", async () => {
    const ask = (path: string, within: readonly string[] = []) => {
      const fd = openSync(path, O_PATH);
      const words = [...within, testShare(), "--can-own-root", "3", `${SERVER}:${SERVER}`];
      const [program = "", ...args] = words;
      const asked = spawnSync(program, args, { stdio: ["ignore", "ignore", "pipe", fd], encoding: "utf8" });
      closeSync(fd);
      return [asked.status, asked.stderr];
    };
    await using bench = await opened(without(MOUNT_SETATTR));
    assert.equal((await bench.ended()).code, 78);
    await mkdir(join(bench.root, "dir"));
    assert.deepEqual(ask(join(bench.root, "dir")), [0, ""]);
    const [code, words] = ask("/proc");
    assert.equal(code, 78);
    assert.match(
      String(words),
      /^kiln-share: its file system, or this kernel, has no idmapped mounts: [^\n]+\n$/,
    );
    assert.equal(ask(bench.root, without(MOUNT_SETATTR))[0], 78);
  });
});
