// A live directory of the host in a VM: what programs count on of it, what the host sees and the guest of the host, and what
// it is worth while its server and kilnd die.

import assert from "node:assert/strict";
import { once } from "node:events";
import { chown, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { agentPath, CHECKOUT } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, killToTheEnd, TestKiln } from "./harness.js";
import { lockedByOthers } from "./host-locks.js";
import { killed, killServers } from "./share-servers.js";
import { assertWhole } from "./whole-volume.js";

const POSIX = join(dirname(agentPath()), "kiln-posix");

/** What a share does otherwise than a disk: the case that shows it, what it says, and the guide's row about it. */
const OTHERWISE: Readonly<Record<string, readonly [RegExp, string]>> = {
  "RENAME_EXCHANGE exchanges": [/Invalid argument/, "RENAME_EXCHANGE"],
  "O_TMPFILE makes a file without a name": [/not supported/, "O_TMPFILE"],
  "fallocate takes room": [/not supported/, "`fallocate`"],
  "setuid bits are kept": [/493 instead of 2541/, "set-user-id bits"],
  "a file is given to another user": [/not permitted/, "owners"],
  "a character device is made": [/not permitted/, "devices"],
  "root writes what its mode forbids": [/Permission denied/, "modes and root"],
  "root passes through a directory that its mode closes": [/Permission denied/, "modes and root"],
  "trusted attributes are kept": [/not supported/, "`trusted.*`, `security.*`"],
  "an access list is kept": [/not supported/, "access lists"],
};

const OWNER = 1000;

let kiln: TestKiln;
let shared = "";
let outside = "";
let told = "";
let image = "";
before(async () => {
  // Debian's has no 9p.
  kiln = await TestKiln.start({ kernel: "kiln" });
  shared = join(kiln.root, "shared");
  outside = join(kiln.root, "outside");
  told = join(kiln.root, "told");
  await mkdir(join(shared, "dir"), { recursive: true });
  await mkdir(join(told, "dir"), { recursive: true });
  await writeFile(join(told, "dir/file"), "one\n");
  await mkdir(outside);
  await writeFile(join(outside, "secret"), "not for guests");
  await writeFile(join(shared, "greeting"), "hello from the host\n");
  await writeFile(join(kiln.root, "one-file"), "alone\n");
  // Root's kilnd serves as whom a directory belongs to, and as root never.
  if (process.getuid?.() === 0) {
    const paths = [
      "shared",
      "shared/dir",
      "shared/greeting",
      "one-file",
      "told",
      "told/dir",
      "told/dir/file",
    ];
    for (const path of paths) await chown(join(kiln.root, path), OWNER, OWNER);
  }
  image = await busyboxImage(join(kiln.root, "busybox"));
  const mounts = [
    "-v",
    `${shared}:/work`,
    "-v",
    `${shared}:/look:ro`,
    "-v",
    `${kiln.root}/one-file:/etc/one`,
    "--mount",
    `type=bind,source=${told},target=/told,notify`,
    "-v",
    "data:/data",
  ];
  await kiln.ok(["run", "-d", "--name", "box", "-m", "256m", ...mounts, image, "sleep", "100000"]);
  await kiln.ok(["cp", POSIX, "box:/posix"]);
});
after(() => kiln.dispose());

const sh = (script: string) => kiln.ok(["exec", "box", "sh", "-c", script]);

describe("a shared directory", () => {
  it("has what the host has, both ways, at the next look", async () => {
    assert.equal(await sh("cat /work/greeting"), "hello from the host\n");
    await sh("echo from the guest > /work/dir/new");
    assert.equal(await readFile(join(shared, "dir/new"), "utf8"), "from the guest\n");
    for (let round = 0; round < 5; round++) {
      await writeFile(join(shared, "edited"), `edit ${round}\n`);
      assert.equal(await sh("cat /work/edited"), `edit ${round}\n`);
      await writeFile(join(shared, "beside"), `replaced ${round}\n`);
      await rename(join(shared, "beside"), join(shared, "edited"));
      assert.equal(await sh("cat /work/edited"), `replaced ${round}\n`);
    }
    await rm(join(shared, "edited"));
    assert.equal((await kiln.kiln(["exec", "box", "cat", "/work/edited"])).code, 1);
  });

  it("is to programs what a disk is, but for what the guide says", async () => {
    const lines = (await kiln.ok(["exec", "box", "/posix", "/work"], { timeoutMs: 600_000 }))
      .trim()
      .split("\n");
    const refused = new Map<string, string>();
    for (const line of lines) {
      const [, name = "", why = ""] = /^no ([^:]*): (.*)$/.exec(line) ?? [];
      if (name !== "") refused.set(name, why);
    }
    assert.ok(lines.length > 115, `${lines.length} cases`);
    assert.deepEqual([...refused.keys()].sort(), Object.keys(OTHERWISE).sort(), lines.join("\n"));
    const guide = await readFile(join(CHECKOUT, "docs/guide/shares.md"), "utf8");
    for (const [name, why] of refused) {
      const [said, row] = OTHERWISE[name] ?? assert.fail(name);
      assert.match(why, said, name);
      assert.ok(guide.includes(`\n| ${row} | `), `the guide has a row about: ${row}`);
    }
    assert.deepEqual(
      (await readdir(shared)).filter((name) => name.startsWith("posix-")),
      [],
    );
  });

  it("tells programs of the VM what the host changes, and what the VM itself does", async () => {
    const watched = "/told /told/dir /told/dir/file";
    await kiln.ok(["exec", "-d", "box", "sh", "-c", `exec /posix --watch ${watched} > /heard 2>&1`]);
    const heard = (line: string) =>
      eventually(line, async () => ((await sh("cat /heard")).includes(`${line}\n`) ? true : undefined));
    await heard("watching");
    const mapped = () => sh("/posix --mapped /told/dir/file");
    assert.equal(await mapped(), "one\n");
    await writeFile(join(told, "new"), "");
    await heard("/told modify new");
    await writeFile(join(told, "dir/new"), "");
    await heard("/told/dir modify new");
    await writeFile(join(told, "dir/file"), "two\n");
    await heard("/told/dir/file modify ");
    assert.equal(await mapped(), "two\n", "the inode that is kept for the watch keeps no content");
    await sh("cd /told/dir; echo x > own; mv own moved; mkdir in; chmod 700 in; rm moved");
    for (const event of ["create own", "moved-to moved", "create in", "attrib in", "delete moved"])
      await heard(`/told/dir ${event}`);
    await writeFile(join(told, "dir/beside"), "three\n");
    await rename(join(told, "dir/beside"), join(told, "dir/file"));
    await heard("/told/dir modify file");
    assert.equal(await mapped(), "three\n");
    await sh("rm /told/dir/new; rmdir /told/dir/in; mv /told/dir /told/gone");
    for (const event of ["/told/dir delete new", "/told/dir delete in", "/told moved-to gone"])
      await heard(event);
  });

  it("is written by nobody where it is read-only, and the host holds that", async () => {
    assert.equal(await sh("cat /look/greeting"), "hello from the host\n");
    await mkdir(join(shared, "top/directory"), { recursive: true });
    for (const name of ["top/beside", "top/file"]) await writeFile(join(shared, name), "kept\n");
    if (process.getuid?.() === 0)
      for (const name of ["", "directory", "beside", "file"])
        await chown(join(shared, "top", name), OWNER, OWNER);
    // Every call that writes, and once more where the VM's root has told its own kernel otherwise.
    await sh("/posix --read-only /look/top");
    const remounted = await sh("mount -o remount,rw /look 2>&1 && /posix --read-only /look/top && echo held");
    assert.equal(remounted, "held\n");
    await sh("/posix --read-only /look/top");
    assert.deepEqual((await readdir(join(shared, "top"))).sort(), ["beside", "directory", "file"]);
    assert.equal(await readFile(join(shared, "top/file"), "utf8"), "kept\n");
  });

  it("is one file where one is shared, and nothing beside it", async () => {
    assert.equal(await sh("cat /etc/one"), "alone\n");
    await sh("echo changed > /etc/one");
    assert.equal(await readFile(join(kiln.root, "one-file"), "utf8"), "changed\n");
  });

  it("leads nowhere else: links are followed in the guest", async () => {
    await symlink(join(outside, "secret"), join(shared, "absolute"));
    await symlink("../outside/secret", join(shared, "relative"));
    for (const name of ["absolute", "relative"]) {
      const { code, stdout } = await kiln.kiln(["exec", "box", "cat", `/work/${name}`]);
      assert.deepEqual([code, stdout], [1, ""]);
    }
    assert.equal((await kiln.kiln(["exec", "box", "ls", "/work/dir/../../outside"])).code, 1);
  });

  it("makes files that belong to who shares", async () => {
    await sh("echo mine > /work/owned && chmod 4777 /work/owned");
    const { uid, mode } = await stat(join(shared, "owned"));
    const owner = (await stat(shared)).uid;
    assert.equal(uid, owner);
    assert.equal(mode & 0o7777, 0o777, "no setuid bit comes from a guest");
  });

  it("is shown among the VM's mounts, with its state", async () => {
    const mounts = JSON.parse(await kiln.ok(["inspect", "-f", "{{json .Mounts}}", "box"]));
    const found = mounts.find(({ Destination }: { Destination: string }) => Destination === "/work");
    assert.deepEqual([found.Type, found.Source, found.RW], ["bind", shared, true]);
  });

  it("goes on over kilnd's end, and over its server's", async () => {
    const [done] = await Promise.all([
      sh(
        "i=0; while [ $i -lt 300 ]; do echo $i >> /work/log && mkdir /work/d$i || echo failed $i; i=$((i+1)); done; echo done",
      ),
      (async () => {
        await eventually("the writer has begun", async () =>
          (await readdir(shared)).includes("d20") ? true : undefined,
        );
        await kiln.stopDaemon("SIGKILL");
        await kiln.startDaemon();
      })(),
    ]);
    assert.equal(done, "done\n");
    const lines = (await readFile(join(shared, "log"), "utf8")).trim().split("\n");
    assert.deepEqual(lines, [...Array(300).keys()].map(String));
  });

  it("keeps locks over its server's death, kilnd's and both", async () => {
    await sh("mkdir /work/locks");
    const holder = kiln.spawn(["exec", "box", "sh", "-c", "tail -f /dev/null | /posix --hold /work/locks"]);
    const [said] = await once(holder.stdout as Readable, "data");
    assert.equal(String(said), "fcntl held flock held\n");
    const asked = () => sh("/posix --hold /work/locks < /dev/null");
    const host = join(shared, "locks");
    const servers = async () =>
      (await kiln.processes()).filter(({ command }) => command.includes("kiln-share "));
    const killAll = async () => {
      for (const { pid } of await servers()) await killToTheEnd(pid);
    };
    const steps: (() => Promise<void>)[] = [
      killAll,
      async () => {
        await kiln.stopDaemon("SIGKILL");
        await killAll();
        await kiln.startDaemon();
      },
      async () => {
        const before = await servers();
        await kiln.stopDaemon();
        await kiln.startDaemon();
        assert.deepEqual(await servers(), before, "they serve on while no kilnd is there");
      },
    ];
    for (const [at, step] of steps.entries()) {
      await step();
      assert.equal(await asked(), "fcntl refused flock refused\n", `step ${at}, ${holder.exitCode}`);
      assert.deepEqual((await lockedByOthers(host)).sort(), ["fcntl", "flock"]);
    }
    // Listened for first: it may end before the call that ends it is over.
    const ended = once(holder, "close");
    await sh("killall tail");
    await ended;
    assert.equal(await asked(), "fcntl held flock held\n");
  });

  it("has all that was synced, and a volume beside it too, after kill -9 of everything at once", async () => {
    const written = ["/work", "/data"].map((place) => `seq 1 20000 > ${place}/synced`).join("; ");
    const endless = "while :; do for place in /work /data; do seq 1 500 >> $place/log; done; done";
    await sh(`${written}; sync`);
    await kiln.ok(["exec", "-d", "box", "sh", "-c", endless]);
    await sh("until [ -s /work/log ] && [ -s /data/log ]; do :; done");
    const vmm = Number(await kiln.ok(["inspect", "-f", "{{.status.pid}}", "box"]));
    const others = (await kiln.processes()).map(({ pid }) => pid).filter((pid) => pid !== vmm);
    for (const pid of others) killed(pid);
    await killToTheEnd(vmm);
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    await eventually("kilnd has seen that its VM is gone", async () =>
      (await kiln.ok(["inspect", "-f", "{{.status.state}}", "box"])).trim() === "failed" ? true : undefined,
    );
    await assertWhole(kiln, "data");
    await kiln.ok(["start", "box"]);
    const wanted = `${[...Array(20_000).keys()].map((at) => at + 1).join("\n")}\n`;
    assert.equal(await readFile(join(shared, "synced"), "utf8"), wanted);
    for (const place of ["/work", "/data"]) assert.equal(await sh(`cat ${place}/synced`), wanted, place);
  });

  it("is refused by name where the host has none", async () => {
    const { code, stderr } = await kiln.kiln(["run", "--rm", "-v", "/no/such/dir:/x", image, "true"]);
    assert.equal(code, 125);
    assert.match(stderr, /\/no\/such\/dir/);
  });

  it("does not hold its VM's end up once nobody serves it", async () => {
    await rename(shared, `${shared}.gone`);
    const killing = new AbortController();
    const served = killServers(kiln, killing.signal);
    const states = "{{range .status.mounts}}{{.mount.target}}={{.state}} {{end}}";
    await eventually("the share is away", async () =>
      (await kiln.ok(["inspect", "-f", states, "box"])).includes("/work=away") ? true : undefined,
    );
    killing.abort();
    await served;
    await kiln.ok(["exec", "-d", "box", "sh", "-c", "echo late > /work/late"]);
    await kiln.ok(["stop", "-t", "60", "box"]);
    const ended = await kiln.ok(["inspect", "-f", "{{.status.state}} {{.status.exitCode}}", "box"]);
    assert.equal(ended.trim(), `exited ${128 + 15}`);
  });
});
