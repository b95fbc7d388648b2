// What a shared directory is beyond its path: whose it is, and which one a server that takes a dead one's place may serve.

import assert from "node:assert/strict";
import { chmod, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, TestKiln } from "./harness.js";

let kiln: TestKiln;
let image = "";
let shared = "";
before(async () => {
  // Debian's has no 9p.
  kiln = await TestKiln.start({ kernel: "kiln" });
  image = await busyboxImage(join(kiln.root, "busybox"));
  shared = join(kiln.root, "shared");
  await mkdir(shared);
  await writeFile(join(shared, "secret"), "for its owner\n", { mode: 0o600 });
  // As whom kilnd runs: root's directories are served, too, and no less.
  await chmod(shared, 0o700);
  const options = ["-d", "--name", "box", "-m", "256m", "-v", `${shared}:/work`];
  await kiln.ok(["run", ...options, image, "sleep", "100000"]);
});
after(() => kiln.dispose());

const sh = (script: string) => kiln.ok(["exec", "box", "sh", "-c", script]);

interface Shown {
  readonly state: string;
  readonly message: string;
}

async function mount(): Promise<Shown> {
  const [found] = JSON.parse(await kiln.ok(["inspect", "-f", "{{json .status.mounts}}", "box"]));
  return found;
}

async function events(): Promise<string[]> {
  const format = "{{.attributes.state}} {{.attributes.why}}";
  const until = ["--since", "1h", "--until", "0s"];
  return (await kiln.ok(["events", ...until, "-f", "event=share", "--format", format])).trim().split("\n");
}

async function killServer(): Promise<void> {
  const servers = (await kiln.processes()).filter(({ command }) => command.includes("kiln-share "));
  for (const { pid } of servers) process.kill(pid, "SIGKILL");
}

describe("the source of a share", () => {
  it("is read and written by the guest's root where only its owner may, and stays his", async () => {
    assert.equal(await sh("cat /work/secret && stat -c %u:%g:%a /work/secret"), "for its owner\n0:0:600\n");
    await sh("echo more >> /work/secret; umask 077; mkdir /work/dir; echo new > /work/dir/new");
    assert.equal(await readFile(join(shared, "secret"), "utf8"), "for its owner\nmore\n");
    const { uid, gid } = await stat(shared);
    for (const name of ["secret", "dir", "dir/new"]) {
      const made = await stat(join(shared, name));
      assert.deepEqual([made.uid, made.gid], [uid, gid], name);
    }
  });

  it("is served again, or nothing is: not what lies at its path by then, until it is back", async () => {
    await rename(shared, `${shared}.old`);
    await mkdir(shared);
    await writeFile(join(shared, "secret"), "another one\n");
    assert.match(await sh("cat /work/secret"), /^for its owner/, "the server goes on");
    await killServer();
    const shown = await eventually("the share is away for good", async () => {
      const found = await mount();
      return /another one/.test(found.message) ? found : undefined;
    });
    assert.equal(shown.state, "away");
    assert.match((await events()).at(-1) ?? "", /^away share .*another one lies there now/);
    await rm(shared, { recursive: true });
    await symlink(`${shared}.old`, shared);
    assert.match(await sh("cat /work/secret"), /^for its owner/);
    await eventually("the share is back", async () =>
      (await mount()).state === "attached" ? true : undefined,
    );
  });

  it("is no news when the VM is stopped", async () => {
    const before = await events();
    await kiln.ok(["stop", "box"]);
    assert.deepEqual(await events(), before);
  });
});
