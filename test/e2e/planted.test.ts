// A broken-out VMM's user against a live kilnd of root: it tries to put links and nodes where kilnd keeps its VM's console
// and sockets, while kilnd runs, while the console's log is rotated, and over a kill -9 of kilnd. Directories are tried
// as they are, where it may write nothing, and as an earlier release left them, where they were that user's own.
// What the same user sees from inside its jail is jail.test.ts's.

import assert from "node:assert/strict";
import { chmod, chown, lstat, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { vmRunDirectory } from "../../src/base/paths.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { listTree } from "../fixtures/list-tree.js";
import { eventually, run, TestKiln } from "./harness.js";

const skip = process.getuid?.() === 0 ? false : "users are given by a kilnd of root only";
const SECRET = "root:of the host:secret\n";
const GID = 1_899_999_999;
/** More than the console's log takes before it is rotated (src/vmm/console-log.ts). */
const PRINTED_BYTES = 1_200_000;
const LOGS = ["console.log", "console.log.1"];
const SOCKETS = ["channel.sock", "qmp.sock", "console.sock"];

interface Target {
  readonly id: string;
  readonly uid: number;
  /** Of the console's log. */
  readonly state: string;
  readonly run: string;
}

describe("a VM's user that plants", { skip }, () => {
  let kiln: TestKiln;
  let scratch = "";
  let secret = "";
  let mine: Target;
  let theirs: Target;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kiln-planted-"));
    secret = join(scratch, "shadow");
    await writeFile(secret, SECRET, { mode: 0o600 });
    const image = await busyboxImage(join(scratch, "busybox"));
    kiln = await TestKiln.start();
    [mine, theirs] = (await Promise.all(["mine", "theirs"].map((name) => start(image, name)))) as [
      Target,
      Target,
    ];
  });
  after(async () => {
    await kiln.dispose();
    await rm(scratch, { recursive: true, force: true });
  });

  async function start(image: string, name: string): Promise<Target> {
    const vm = ["--name", name, "--hostname", name, "--network", "none", "-m", "128m"];
    const id = (await kiln.ok(["run", "-d", ...vm, image, "sleep", "100000"])).trim();
    const directory = join(kiln.root, "data/vms", id);
    const { uid } = JSON.parse(await readFile(join(directory, "vm.json"), "utf8")) as { uid: number };
    return { id, uid, state: join(directory, "vmm"), run: vmRunDirectory(join(kiln.root, "run"), id) };
  }

  /** Lines of shell as the VM's user, outside of its jail. */
  const asUser = (script: string, ...words: string[]) =>
    run([
      ...["setpriv", `--reuid=${mine.uid}`, `--regid=${GID}`, "--clear-groups", "--no-new-privs"],
      ...["sh", "-c", script, "sh", ...words],
    ]);

  /** As an earlier release left it: the VM's user's own, behind directories that everybody may pass. */
  async function giveAway(directory: string): Promise<void> {
    for (let above = dirname(directory); above !== dirname(kiln.root); above = dirname(above)) {
      await chmod(above, 0o711);
    }
    await chown(directory, mine.uid, GID);
  }

  /** Lets the guest print so much that the log is rotated, and waits until it was. */
  async function printMuch(): Promise<void> {
    const before = await lstat(join(mine.state, "console.log.1")).catch(() => undefined);
    const print = `head -c ${PRINTED_BYTES} /dev/zero | tr '\\0' x > /dev/console; echo printed > /dev/console`;
    await kiln.ok(["exec", "mine", "sh", "-c", print]);
    await eventually("the console's log was rotated", async () => {
      const now = await lstat(join(mine.state, "console.log.1")).catch(() => undefined);
      return now?.isFile() && now.ino !== before?.ino ? true : undefined;
    });
  }

  async function assertUntouched(): Promise<void> {
    assert.equal(await readFile(secret, "utf8"), SECRET, "nothing was appended");
    const shown = await kiln.ok(["logs", "--console", "mine"]);
    assert.doesNotMatch(shown, /of the host/, "nothing was read");
    for (const name of LOGS) {
      const found = await lstat(join(mine.state, name));
      assert.deepEqual([name, found.isFile(), found.uid], [name, true, 0]);
    }
  }

  /** What is done to a file's place, each with the place as $1 and the secret or another socket as $2. */
  const ATTEMPTS = [
    'ln -sf "$2" "$1"',
    'ln -f "$2" "$1"',
    'mkfifo "$1.fifo"',
    'mv "$1" "$1.old"',
    'rm -f "$1" && ln -s "$2" "$1"',
    'echo planted >> "$1"',
    'cat "$1"',
  ];

  it("may write nothing of all that kiln has by its name, not even its own disk", async () => {
    const paths = (await listTree(kiln.root)).map((name) => join(kiln.root, name));
    const found: string[] = [];
    for (const path of [kiln.root, ...paths]) {
      // What kilnd has written anew meanwhile has another name.
      const info = await lstat(path).catch(() => undefined);
      if (info !== undefined && !info.isSymbolicLink()) found.push(path);
    }
    const disk = join(kiln.root, "data/vms", mine.id, "cow");
    assert.ok(found.includes(disk) && (await lstat(disk)).uid === mine.uid);
    const { code, stdout } = await asUser(
      'for path; do [ -w "$path" ] && echo "$path"; done; true',
      ...found,
    );
    assert.deepEqual([code, stdout], [0, ""]);
  });

  it("is refused at every place while kilnd runs, and the rotated console is kilnd's own", async () => {
    const places = [
      ...LOGS.map((name) => [join(mine.state, name), secret] as const),
      ...SOCKETS.map((name) => [join(mine.run, name), join(theirs.run, name)] as const),
      [join(mine.run, "process.json"), secret] as const,
      [join(kiln.root, "data/vms", mine.id, "cow"), secret] as const,
      [join(kiln.root, "data/vms", mine.id, "new"), secret] as const,
    ];
    for (const [place, target] of places) {
      for (const attempt of ATTEMPTS) {
        const { code, stderr } = await asUser(attempt, place, target);
        assert.notEqual(code, 0, `${attempt} at ${place}`);
        assert.match(stderr, /Permission denied|Operation not permitted/, `${attempt} at ${place}`);
      }
    }
    await printMuch();
    await assertUntouched();
  });

  it("has planted links for the console below an earlier release, and kilnd follows none", async () => {
    await kiln.stopDaemon("SIGKILL");
    await giveAway(mine.state);
    for (const name of LOGS) {
      const { code, stderr } = await asUser('rm -f "$1" && ln -s "$2" "$1"', join(mine.state, name), secret);
      assert.equal(code, 0, stderr);
    }
    assert.equal((await asUser('mkfifo "$1"', join(mine.state, "fifo"))).code, 0);
    await kiln.startDaemon();
    await eventually("the links are gone", async () => {
      const { uid } = await lstat(mine.state);
      return uid === 0 ? true : undefined;
    });
    await printMuch();
    await assertUntouched();
    assert.equal((await asUser('ln -sf "$2" "$1"', join(mine.state, "console.log"), secret)).code, 1);
  });

  it("has planted another VM's sockets, and kilnd reaches nobody by them", async () => {
    await kiln.stopDaemon("SIGKILL");
    await giveAway(mine.run);
    for (const name of SOCKETS) {
      const script = 'rm -f "$1" && ln -s "$2" "$1"';
      const { code, stderr } = await asUser(script, join(mine.run, name), join(theirs.run, name));
      assert.equal(code, 0, stderr);
    }
    await kiln.startDaemon();
    const { code, stdout } = await kiln.kiln(["exec", "mine", "hostname"]);
    assert.notEqual(code, 0);
    assert.doesNotMatch(stdout, /theirs/);
    assert.notEqual((await kiln.kiln(["pause", "mine"])).code, 0);
    assert.equal(await kiln.ok(["exec", "theirs", "hostname"]), "theirs\n");
    assert.match(await kiln.ok(["ps"]), /theirs/);
    await kiln.ok(["rm", "-f", "mine"]);
    assert.equal(await kiln.ok(["exec", "theirs", "hostname"]), "theirs\n");
    assert.equal(await readFile(secret, "utf8"), SECRET);
  });
});
