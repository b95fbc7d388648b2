// What `kiln exec -d` starts is kept: its output, its end and its runs, over kilnds, to the end of its VM and after it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Failpoint } from "../../src/base/failpoint.js";
import { Kiln } from "../../src/sdk/index.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, TestKiln } from "./harness.js";

/** Numbers for as long as there is no such file, and how many they were. */
const countUntil = (path: string, code: number) =>
  `i=0; until [ -e ${path} ]; do echo $i; i=$((i+1)); usleep 5000; done; echo $i in all; exit ${code}`;

const KILND = fileURLToPath(new URL("../fixtures/kilnd-failpoints.js", import.meta.url));

let kiln: TestKiln;
let scratch = "";
let pointFile = "";
let vmId = "";
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kt-point-"));
  pointFile = join(scratch, "point");
  await writeFile(pointFile, "");
  kiln = await TestKiln.start({ daemon: KILND, env: { KILN_TEST_FAILPOINT: pointFile } });
  // Named, so that no client starts a kilnd while the test does.
  kiln.env.KILN_HOST = `unix://${kiln.socket}`;
  const image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok(["run", "-d", "--name", "box", "-m", "128m", image, "sleep", "100000"]);
  vmId = (await kiln.ok(["ps", "-q", "--no-trunc"])).trim();
});
after(async () => {
  await kiln.dispose();
  await rm(scratch, { recursive: true });
});

/** Gives the id. */
async function start(script: string, ...flags: string[]): Promise<string> {
  const id = (await kiln.ok(["exec", "-d", ...flags, "box", "sh", "-c", script])).trim();
  assert.match(id, /^[0-9a-f]{32}$/);
  return id;
}

/** Ends kilnd at a point of what is asked for, and starts the next one. */
async function killAt(point: Failpoint, ask: () => Promise<unknown>): Promise<void> {
  await writeFile(pointFile, point);
  const died = kiln.daemonEnd();
  // What a client that is cut off says is tested elsewhere.
  const asked = ask().catch(() => undefined);
  assert.equal(await died, "SIGKILL");
  await writeFile(pointFile, "");
  await kiln.startDaemon();
  await asked;
}

const wait = async (id: string) => Number(await kiln.ok(["wait", "--exec", id, "box"]));
const logs = (id: string) => kiln.ok(["logs", "--exec", id, "box"]);

async function told(id: string, format: string): Promise<string> {
  return (await kiln.ok(["execs", "-a", "-f", `id=${id}`, "--format", format, "box"])).trim();
}

/** A client, and what it has said so far. */
function client(...args: string[]) {
  const child = kiln.spawn(args);
  const said = { stdout: "", ended: once(child, "close").then(([code]) => code as number | null) };
  child.stdout?.on("data", (chunk: Buffer) => {
    said.stdout += chunk.toString("latin1");
  });
  return said;
}

describe("a program that exec -d has started", () => {
  it("leaves its output and its end, found by a prefix of its id", async () => {
    const id = await start("echo out; echo err >&2; exit 3");
    assert.equal(await wait(id), 3);
    const { code, stdout, stderr } = await kiln.kiln(["logs", "--exec", id.slice(0, 8), "box"]);
    assert.deepEqual([code, stdout, stderr], [0, "out\n", "err\n"]);
    assert.equal(await told(id, "{{.State}} {{.ExitCode}} {{.Reason}}"), "exited 3 program-exited");
    assert.equal(await kiln.ok(["execs", "-q", "box"]), "");
    assert.equal(await kiln.ok(["inspect", "-f", "{{len .Execs}} {{.ExecIDs}}", "box"]), "1 []\n");
  });

  it("is followed and waited for over kill -9 of kilnd, without a gap or a repeat", async () => {
    const id = await start(countUntil("/enough", 9));
    const follower = client("logs", "-f", "--exec", id, "box");
    await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}` });
    // Not a command: on a busy machine that may not have asked yet when kilnd is killed.
    const waited = (await sdk.vms.ref("box").processes.get(id)).wait();
    await eventually("its first lines", async () => follower.stdout.includes("\n20\n") || undefined);
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    const before = follower.stdout.length;
    await eventually("some more of them", async () => follower.stdout.length > before + 100 || undefined);
    await kiln.ok(["exec", "box", "touch", "/enough"]);
    assert.equal(await follower.ended, 0);
    const count = Number(/^(\d+) in all$/m.exec(follower.stdout)?.[1]);
    const numbers = Array.from({ length: count }, (_, index) => `${index}\n`).join("");
    assert.equal(follower.stdout, `${numbers}${count} in all\n`);
    assert.equal((await waited).exitCode, 9);
    assert.equal(await logs(id), follower.stdout);
  });

  it("has its exit code from the next kilnd, where it ended without one", async () => {
    await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}` });
    const { id } = await sdk.vms.ref("box").processes.start("sleep 1; echo late; exit 4");
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    const process = await sdk.vms.ref("box").processes.get(id);
    const { exitCode, status } = await process.wait();
    assert.deepEqual([exitCode, status.reason], [4, "program-exited"]);
    let text = "";
    for await (const { data } of process.logs()) text += Buffer.from(data).toString();
    assert.equal(text, "late\n");
  });

  // `exec.ended` first: an end is known a moment before it passes that point, and here no other program has just ended.
  const recorded: readonly Failpoint[] = [
    "exec.ended",
    "exec.create.renamed",
    "exec.started",
    "exec.running",
    "exec.restarting",
  ];
  for (const point of ["exec.create.begun", "exec.create.filled", ...recorded] as const) {
    it(`runs as often as it should, or not at all, where kilnd is killed at ${point}`, async () => {
      await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}` });
      const { processes } = sdk.vms.ref("box");
      const before = (await processes.list({ all: true })).map(({ id }) => id);
      const line = "echo run; exit 3";
      const restart = { name: "on-failure", maximumRetryCount: 1 } as const;
      await killAt(point, () => processes.start(line, { restart }));
      const made = (await processes.list({ all: true })).filter(({ id }) => !before.includes(id));
      assert.equal(made.length, recorded.includes(point) ? 1 : 0);
      for (const { id } of made) {
        const process = await processes.get(id);
        const { exitCode, status } = await process.wait();
        assert.deepEqual([exitCode, status.restartCount], [3, 1]);
        let text = "";
        for await (const { data } of process.logs()) text += Buffer.from(data).toString();
        assert.equal(text, "run\nrun\n");
      }
    });
  }

  it("is brought back as often as its policy says, and not once it was killed", async () => {
    const failing = await start("echo run; exit 5", "--restart", "on-failure:2");
    const always = await start("echo up; sleep 100000", "--restart", "always");
    assert.equal(await wait(failing), 5);
    assert.equal(await logs(failing), "run\nrun\nrun\n");
    assert.equal(await told(failing, "{{.Restart}} {{.RestartCount}}"), "on-failure:2 2");
    await kiln.ok(["kill", "--exec", always, "box"]);
    assert.equal(await wait(always), 137);
    assert.equal(await told(always, "{{.State}} {{.RestartCount}}"), "exited 0");
  });

  it("is removed with its output", async () => {
    const id = await start("echo much");
    await wait(id);
    const directories = () => readdir(join(kiln.root, "data", "vms", vmId, "exec"));
    assert.ok((await directories()).some((name) => name.startsWith(id)));
    assert.equal(await kiln.ok(["execs", "rm", "box", id]), `${id}\n`);
    assert.ok(!(await directories()).some((name) => name.startsWith(id)));
    const other = await start("echo more");
    await wait(other);
    await killAt("exec.remove.renamed", () => kiln.kiln(["execs", "rm", "box", other]));
    assert.equal(await told(other, "{{.ID}}"), "");
    assert.ok(!(await directories()).some((name) => name.includes(other)));
    const gone = await kiln.kiln(["logs", "--exec", id, "box"]);
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /^kiln: VM box has no exec [0-9a-f]+\nhint: `kiln execs -a box`/);
  });

  it("ends with its VM, and is told of and read after that", async () => {
    const id = await start("echo up; sleep 100000");
    await eventually("its output", async () => ((await logs(id)) === "up\n" ? true : undefined));
    await kiln.ok(["stop", "-t", "1", "box"]);
    assert.equal(await wait(id), 137);
    assert.equal(await told(id, "{{.State}} {{.Reason}}"), "exited vm-ended");
    assert.equal(await logs(id), "up\n");
  });
});
