// Files in and out of the real agent: tar streams as tar itself reads and writes them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstat, mkdir, readdir, readFile, readlink, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { WireSession } from "../fixtures/agent-wire.js";
import { AgentBench, skipWithoutRoot } from "./agent-bench.js";

describe("agent: files", { skip: skipWithoutRoot(), timeout: 120_000 }, () => {
  let bench: AgentBench;
  let session: WireSession;
  before(async () => {
    bench = await AgentBench.open();
    session = await bench.session();
  });
  after(() => bench[Symbol.asyncDispose]());

  async function read(path: string, followLink = false): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const { data } of session.client.readArchive({ path, followLink })) {
      assert.ok(data.length <= 64 * 1024);
      pieces.push(data);
    }
    return Buffer.concat(pieces);
  }
  const write = (directory: string, tar: Uint8Array, options: object = {}) =>
    session.client.writeArchive(
      (async function* () {
        yield { message: { case: "start" as const, value: { directory, keepOwner: true, ...options } } };
        for (let at = 0; at < tar.length; at += 10_000) {
          yield { message: { case: "data" as const, value: tar.subarray(at, at + 10_000) } };
        }
      })(),
    );
  const fresh = async (name: string) => {
    const path = join(bench.root, name);
    await mkdir(path);
    return path;
  };

  it("packs a tree that tar unpacks", async () => {
    const from = await fresh("from");
    await mkdir(join(from, "tree"));
    const long = `${"long-".repeat(40)}name`;
    await writeFile(join(from, "tree", long), "long");
    await writeFile(join(from, "tree/file"), Buffer.alloc(200_000, 7), { mode: 0o640 });
    await symlink("file", join(from, "tree/link"));
    await utimes(join(from, "tree/file"), 1, 1.25);
    const to = await fresh("to");
    execFileSync("tar", ["-xf", "-", "-C", to], { input: await read(join(from, "tree")) });
    assert.deepEqual((await readdir(join(to, "tree"))).sort(), ["file", "link", long].sort());
    assert.deepEqual(await readFile(join(to, "tree/file")), Buffer.alloc(200_000, 7));
    const stat = await lstat(join(to, "tree/file"));
    assert.deepEqual([stat.mode & 0o7777, stat.mtimeMs], [0o640, 1250]);
    assert.equal(await readlink(join(to, "tree/link")), "file");
  });

  it("unpacks what tar packed", async () => {
    const from = await fresh("packed");
    await mkdir(join(from, "a/b"), { recursive: true });
    await writeFile(join(from, "a/b/file"), "text");
    await symlink("/no/where", join(from, "a/link"));
    execFileSync("ln", [join(from, "a/b/file"), join(from, "a/twin")]);
    for (const format of ["pax", "gnu", "ustar"]) {
      const tar = execFileSync("tar", [`--format=${format}`, "-cf", "-", "-C", from, "a"]);
      const to = await fresh(`unpacked-${format}`);
      const { entries, bytes } = await write(to, tar);
      assert.deepEqual([entries, bytes], [5n, 4n]);
      assert.equal(await readFile(join(to, "a/b/file"), "utf8"), "text");
      assert.equal((await lstat(join(to, "a/twin"))).ino, (await lstat(join(to, "a/b/file"))).ino);
      assert.equal(await readlink(join(to, "a/link")), "/no/where");
    }
  });

  it("follows a link only when told", async () => {
    const from = await fresh("links");
    await writeFile(join(from, "target"), "text");
    await symlink("target", join(from, "link"));
    const list = (tar: Buffer) => execFileSync("tar", ["-tvf", "-"], { input: tar, encoding: "utf8" });
    assert.match(list(await read(join(from, "link"))), /link -> target/);
    assert.match(list(await read(join(from, "link"), true)), /^-.* link\n$/);
  });

  it("describes a path", async () => {
    const from = await fresh("stat");
    await writeFile(join(from, "file"), "12345", { mode: 0o600 });
    await symlink("file", join(from, "link"));
    const file = await session.client.statPath({ path: join(from, "file") });
    assert.deepEqual([file.name, file.size, file.mode], ["file", 5n, 0o100600]);
    const link = await session.client.statPath({ path: join(from, "link") });
    assert.deepEqual([link.linkTarget, link.mode & 0o170000], ["file", 0o120000]);
    const followed = await session.client.statPath({ path: join(from, "link"), followLink: true });
    assert.equal(followed.size, 5n);
  });

  it("keeps names and link targets that are not UTF-8", async () => {
    const from = await fresh("bytes");
    const odd = Buffer.from("caf\xe9", "latin1");
    const path = (name: Uint8Array) => Buffer.concat([Buffer.from(`${from}/`), name]);
    await mkdir(join(from, "tree"));
    await writeFile(path(Buffer.concat([Buffer.from("tree/"), odd])), "text");
    await symlink(odd, join(from, "tree/link"));
    const { linkTargetBytes } = await session.client.statPath({ path: join(from, "tree/link") });
    assert.deepEqual(Buffer.from(linkTargetBytes), odd);
    const to = await fresh("bytes-copy");
    await write(to, await read(join(from, "tree")));
    assert.deepEqual(await readlink(join(to, "tree/link"), "buffer"), odd);
    const copied = await readdir(join(to, "tree"), { encoding: "buffer" });
    assert.ok(
      copied.some((name) => odd.equals(name)),
      copied.join(", "),
    );
  });

  it("replaces neither a directory by a file nor a file by a directory when told", async () => {
    const from = await fresh("kinds");
    await mkdir(join(from, "one"));
    await writeFile(join(from, "two"), "file");
    const tar = (name: string) => execFileSync("tar", ["-cf", "-", "-C", from, name]);
    const to = await fresh("kinds-there");
    await mkdir(join(to, "two"));
    await writeFile(join(to, "two/kept"), "kept");
    await writeFile(join(to, "one"), "kept");
    const guarded = { noOverwriteDirNonDir: true };
    await assert.rejects(write(to, tar("one"), guarded), /cannot replace what is no directory/);
    await assert.rejects(write(to, tar("two"), guarded), /cannot replace a directory/);
    assert.equal(await readFile(join(to, "one"), "utf8"), "kept");
    assert.equal(await readFile(join(to, "two/kept"), "utf8"), "kept");
  });

  it("names what is not there", async () => {
    const missing = join(bench.root, "missing");
    await assert.rejects(read(missing), /\[not_found\].*missing/);
    await assert.rejects(session.client.statPath({ path: missing }), /\[not_found\].*missing/);
    await assert.rejects(write(missing, Buffer.alloc(1024)), /\[not_found\].*missing/);
    await assert.rejects(read("relative"), /\[invalid_argument\]/);
  });

  it("refuses an archive that leads out of its directory, and a broken one", async () => {
    const to = await fresh("guarded");
    const from = await fresh("hostile");
    await writeFile(join(from, "file"), "x");
    const up = execFileSync("tar", ["-cf", "-", "-P", "-C", from, "--transform=s,file,../../out,", "file"]);
    await assert.rejects(write(to, up), /leads out of the directory/);
    await assert.rejects(write(to, Buffer.alloc(2000, 65)), /broken/);
    assert.deepEqual(await readdir(to), []);
  });

  it("ends a write whose archive fails early, however much is still to come", async () => {
    const to = await fresh("early");
    await assert.rejects(write(to, Buffer.alloc(40 << 20, 65)), /checksum|broken/);
    assert.equal((await session.client.state({})).protocol, 1, "the session goes on");
  });

  it("carries 64 MiB both ways unchanged", async () => {
    const from = await fresh("big");
    const data = Buffer.alloc(64 << 20);
    for (let at = 0; at < data.length; at += 4) data.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
    await writeFile(join(from, "file"), data);
    const to = await fresh("big-copy");
    const tar = await read(join(from, "file"));
    await write(to, tar);
    assert.ok((await readFile(join(to, "file"))).equals(data));
  });
});
