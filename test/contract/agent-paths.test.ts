// List, make, remove, rename and watch on the real agent.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { type FileEvent, FileEventKind } from "../../src/gen/kiln/agent/v1/files_pb.js";
import type { WireSession } from "../fixtures/agent-wire.js";
import { AgentBench, skipWithoutRoot } from "./agent-bench.js";

const bytes = (path: string) => Buffer.from(path, "latin1");
const fails = (code: Code) => (error: unknown) => error instanceof ConnectError && error.code === code;

describe("agent: paths", { skip: skipWithoutRoot(), timeout: 120_000 }, () => {
  let bench: AgentBench;
  let session: WireSession;
  before(async () => {
    bench = await AgentBench.open();
    session = await bench.session();
  });
  after(() => bench[Symbol.asyncDispose]());

  const fresh = async (name: string) => {
    const path = join(bench.root, name);
    await mkdir(path);
    return path;
  };
  async function list(path: string) {
    const all = [];
    for await (const { entries } of session.client.listDirectory({ path: bytes(path) })) all.push(...entries);
    return all.sort((a, b) => Buffer.compare(a.name, b.name));
  }

  it("lists every kind of thing as lstat has it, whatever its name", async () => {
    const directory = await fresh("listed");
    await writeFile(join(directory, "file"), "12345", { mode: 0o640 });
    await mkdir(join(directory, "sub"));
    await symlink("/no/where", join(directory, "link"));
    execFileSync("touch", [join(directory, "plain")]);
    await writeFile(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x41])]), "");
    const found = await list(directory);
    assert.deepEqual(
      found.map(({ name }) => Buffer.from(name).toString("latin1")),
      ["file", "link", "plain", "sub", "\xffA"],
    );
    const [file, link, , sub] = found;
    const on = await stat(join(directory, "file"), { bigint: true });
    assert.deepEqual([file?.mode, file?.size, file?.mtimeUnixNs], [0o100640, 5n, on.mtimeNs]);
    assert.equal(Buffer.from(link?.linkTarget ?? []).toString(), "/no/where");
    assert.equal((sub?.mode ?? 0) & 0o170000, 0o040000);
  });

  it("lists more than one message holds, and refuses what is no directory", async () => {
    const directory = await fresh("many");
    for (let index = 0; index < 300; index++) await writeFile(join(directory, `f${index}`), "");
    assert.equal((await list(directory)).length, 300);
    await assert.rejects(list(join(directory, "f1")), fails(Code.FailedPrecondition));
    await assert.rejects(list(join(directory, "none")), fails(Code.NotFound));
    await assert.rejects(list("relative"), fails(Code.InvalidArgument));
  });

  it("makes directories with mode and owner, parents too when told", async () => {
    const directory = await fresh("made");
    const make = (path: string, more: object = {}) =>
      session.client.makeDirectory({ path: bytes(join(directory, path)), mode: 0o755, ...more });
    assert.equal((await make("one", { mode: 0o2770, uid: 12, gid: 34 })).made, true);
    const one = await stat(join(directory, "one"));
    assert.deepEqual([one.mode & 0o7777, one.uid, one.gid], [0o2770, 12, 34]);
    await assert.rejects(make("one"), fails(Code.AlreadyExists));
    await assert.rejects(make("a/b/c"), fails(Code.NotFound));
    assert.equal((await make("a/b/c", { recursive: true, mode: 0o700 })).made, true);
    assert.equal((await stat(join(directory, "a/b"))).mode & 0o777, 0o755);
    assert.equal((await stat(join(directory, "a/b/c"))).mode & 0o777, 0o700);
    assert.equal((await make("a/b/c", { recursive: true })).made, false);
    await writeFile(join(directory, "file"), "");
    await assert.rejects(make("file/below", { recursive: true }), fails(Code.FailedPrecondition));
  });

  it("removes links and not what they name, trees only when told, the root never", async () => {
    const directory = await fresh("removed");
    const remove = (path: string, more: object = {}) =>
      session.client.removePath({ path: bytes(path), ...more });
    await mkdir(join(directory, "kept"));
    await writeFile(join(directory, "kept/file"), "");
    await mkdir(join(directory, "tree/deep"), { recursive: true });
    await symlink(join(directory, "kept"), join(directory, "tree/deep/link"));
    await symlink(join(directory, "kept"), join(directory, "link"));
    await remove(join(directory, "link"));
    await assert.rejects(remove(join(directory, "tree")), fails(Code.FailedPrecondition));
    await remove(join(directory, "tree"), { recursive: true });
    assert.deepEqual(await readdir(directory), ["kept"]);
    assert.deepEqual(await readdir(join(directory, "kept")), ["file"]);
    await assert.rejects(remove(join(directory, "none")), fails(Code.NotFound));
    await remove(join(directory, "none"), { force: true });
    for (const root of ["/", "//", "/."]) {
      await assert.rejects(remove(root, { recursive: true }), fails(Code.InvalidArgument));
    }
  });

  it("renames over what is there, unless told not to", async () => {
    const directory = await fresh("renamed");
    await writeFile(join(directory, "a"), "a");
    await writeFile(join(directory, "b"), "b");
    const names = { from: bytes(join(directory, "a")), to: bytes(join(directory, "b")) };
    await assert.rejects(session.client.renamePath({ ...names, noReplace: true }), fails(Code.AlreadyExists));
    await session.client.renamePath(names);
    assert.deepEqual(await readdir(directory), ["b"]);
    await assert.rejects(session.client.renamePath(names), fails(Code.NotFound));
  });

  /** A watch that stands, and what it tells up to an event that the test waits for. */
  async function watch(path: string, recursive: boolean) {
    const stop = new AbortController();
    const request = { path: bytes(path), recursive };
    const messages = session.client.watchPath(request, { signal: stop.signal })[Symbol.asyncIterator]();
    const first = await messages.next();
    assert.equal(first.value?.ready, true);
    const shown = ({ kind, path: at, to }: FileEvent) => {
      const below = (full: Uint8Array) => Buffer.from(full).toString("latin1").slice(path.length);
      return `${FileEventKind[kind]} ${below(at)}${to.length > 0 ? ` ${below(to)}` : ""}`;
    };
    return {
      async until(last: string): Promise<string[]> {
        const told: string[] = [];
        while (!told.includes(last)) {
          const { done, value } = await messages.next();
          assert.ok(done !== true, `ended after ${told.join(", ")}`);
          told.push(...value.events.map(shown));
        }
        return told;
      },
      end: async () => (await messages.next()).done,
      stop: () => stop.abort(),
    };
  }

  it("tells what happens in a directory, and ends when it is gone", async () => {
    const directory = await fresh("watched");
    await mkdir(join(directory, "sub"));
    const watched = await watch(directory, false);
    await writeFile(join(directory, "sub/unseen"), "");
    await writeFile(join(directory, "a"), "text");
    await chmod(join(directory, "a"), 0o600);
    await rename(join(directory, "a"), join(directory, "b"));
    await rename(join(directory, "b"), join(bench.root, "elsewhere"));
    assert.deepEqual(await watched.until("REMOVED /b"), [
      "CREATED /a",
      "MODIFIED /a",
      "ATTRIBUTES /a",
      "RENAMED /a /b",
      "REMOVED /b",
    ]);
    await rm(directory, { recursive: true });
    await watched.until("REMOVED ");
    assert.equal(await watched.end(), true);
  });

  it("follows a tree as it grows, moves and shrinks", async () => {
    const directory = await fresh("tree");
    await mkdir(join(directory, "old/deep"), { recursive: true });
    const watched = await watch(directory, true);
    await writeFile(join(directory, "old/deep/file"), "");
    await watched.until("CREATED /old/deep/file");
    await mkdir(join(directory, "new/below"), { recursive: true });
    await watched.until("CREATED /new/below");
    await rename(join(directory, "old"), join(directory, "moved"));
    await watched.until("RENAMED /old /moved");
    await appendFile(join(directory, "moved/deep/file"), "x");
    await watched.until("MODIFIED /moved/deep/file");
    // What is moved in brings all that it holds.
    await mkdir(join(bench.root, "outside/inner"), { recursive: true });
    await writeFile(join(bench.root, "outside/inner/there"), "");
    await rename(join(bench.root, "outside"), join(directory, "inside"));
    await watched.until("CREATED /inside/inner/there");
    // What is moved out says nothing any more.
    await rename(join(directory, "moved"), join(bench.root, "gone"));
    await watched.until("REMOVED /moved");
    await appendFile(join(bench.root, "gone/deep/file"), "x");
    const name = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xfe])]);
    await writeFile(name, "");
    assert.deepEqual(await watched.until("CREATED /\xfe"), ["CREATED /\xfe"]);
    watched.stop();
  });

  it("watches a file, and refuses what is not there", async () => {
    const directory = await fresh("single");
    const file = join(directory, "file");
    await writeFile(file, "");
    const watched = await watch(file, true);
    await appendFile(file, "x");
    await watched.until("MODIFIED ");
    watched.stop();
    await assert.rejects(watch(join(directory, "none"), false), fails(Code.NotFound));
    assert.equal((await lstat(file)).size, 1);
  });
});
