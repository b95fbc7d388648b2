// What kilnd and a client that starts one take for their own: nothing that a neighbour could have made or can change.

import assert from "node:assert/strict";
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { lockRunRoot } from "../../src/daemon/root-lock.js";
import { DAEMON, run, TYPESCRIPT } from "./harness.js";

const OTHER = 65_534;

let scratch = "";
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kt-"));
});
after(() => rm(scratch, { recursive: true, force: true }));

/** Starts a kilnd that must refuse to. */
async function refusal(root: string, args: readonly string[] = []): Promise<string> {
  const env = { ...process.env, KILN_ROOT: root };
  const { code, stderr } = await run([process.execPath, "--", DAEMON, ...args], { env, timeoutMs: 30_000 });
  assert.equal(code, 1, stderr);
  return stderr;
}

async function directory(name: string, mode: number): Promise<string> {
  const path = join(scratch, name);
  await mkdir(path);
  await chmod(path, mode);
  return path;
}

describe("kilnd", () => {
  it("refuses a root that everybody may change, says which and leaves it as it was", async () => {
    const root = await directory("open", 0o777);
    const stderr = await refusal(root);
    assert.ok(stderr.includes(`${root} can't be trusted: every user may change it (owner `), stderr);
    assert.match(stderr, /^hint: .*chmod go-w/m);
    assert.deepEqual(await readdir(root), []);
  });

  it("refuses a shared root that is sticky, and a private one where VMMs may run without a jail", async () => {
    const sticky = await directory("sticky", 0o1777);
    assert.ok((await refusal(sticky)).includes(`${sticky} can't be trusted: every user may change it`));
    assert.deepEqual(await readdir(sticky), []);
    const kept: [string, number][] = [[sticky, 0o1777]];
    if (process.getuid?.() === 0) {
      const shut = await directory("shut", 0o700);
      assert.match(
        await refusal(shut, ["--allow-unconfined=yes"]),
        /^hint: allow passing through \(chmod o\+x .*shut/m,
      );
      kept.push([shut, 0o700]);
    }
    for (const [path, mode] of kept) assert.equal((await stat(path)).mode & 0o7777, mode);
  });

  it("refuses a socket's directory and a run root that everybody may change", async () => {
    const root = await directory("own", 0o755);
    const open = await directory("shared", 0o777);
    for (const flag of [`--socket=${open}/k.sock`, `--run-root=${open}`, `--data-root=${open}/data`]) {
      assert.match(await refusal(root, [flag]), /shared can't be trusted/);
    }
    assert.deepEqual(await readdir(open), []);
  });

  it("refuses a run root that a kilnd with another data root uses, and touches nothing in it", async () => {
    const root = await directory("second", 0o755);
    const first = await directory("first-run", 0o700);
    await mkdir(join(first, "v/0123456789abcdef"), { recursive: true });
    const lock = await lockRunRoot(first);
    const stderr = await refusal(root, [`--run-root=${first}`]);
    assert.ok(stderr.includes(`another kilnd (pid ${process.pid})`), stderr);
    assert.match(stderr, /^hint: .*--run-root/m);
    assert.deepEqual(await readdir(join(first, "v")), ["0123456789abcdef"]);
    await lock.release();
  });

  it("reads no configuration that somebody else can write", async () => {
    const root = await directory("configured", 0o755);
    await mkdir(join(root, "config"));
    const file = join(root, "config/config.toml");
    await writeFile(file, 'qemu = "/tmp/evil"\n');
    await chmod(file, 0o666);
    assert.match(await refusal(root), /config\.toml can't be trusted: every user may change it/);
  });

  const skip = process.getuid?.() === 0 ? false : "only root can give things to another user";
  it("refuses what belongs to another user", { skip }, async () => {
    const root = await directory("theirs", 0o755);
    await mkdir(join(root, "run"));
    await chown(join(root, "run"), OTHER, OTHER);
    assert.match(await refusal(root), new RegExp(`run can't be trusted: it belongs to user ${OTHER}`));
  });
});

describe("a client that starts kilnd", () => {
  it("writes no log through a link", async () => {
    const root = await directory("logged", 0o755);
    await mkdir(join(root, "run"));
    const victim = join(scratch, "victim");
    await writeFile(victim, "precious\n");
    await symlink(victim, join(root, "run/kilnd.log"));
    const env = { ...process.env, KILN_ROOT: root, KILN_HOST: "" };
    const { code, stderr } = await run([...TYPESCRIPT, "ps"], { env, timeoutMs: 60_000 });
    assert.notEqual(code, 0);
    assert.match(stderr, /open kilnd's log/);
    assert.equal(await readFile(victim, "utf8"), "precious\n");
  });
});
