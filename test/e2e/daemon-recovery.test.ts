// kill -9 of kilnd: its VMs go on, and the next kilnd takes them over without losing a byte, a port or an exit code.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, killToTheEnd, TestKiln } from "./harness.js";

const VMS = ["counter", "web", "idle", "paused", "short"];
const COUNTER = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.01; done";
const WEB = "while true; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p 80; done";

let kiln: TestKiln;
let port = "";
before(async () => {
  kiln = await TestKiln.start();
  const image = await busyboxImage(join(kiln.root, "busybox"));
  const run = (name: string, flags: string[], command: string[]) =>
    kiln.ok(["run", "-d", "--name", name, "-m", "128m", ...flags, image, ...command]);
  await run("counter", [], ["sh", "-c", COUNTER]);
  await run("web", ["-p", "127.0.0.1:0:80"], ["sh", "-c", WEB]);
  await run("idle", [], ["sleep", "100000"]);
  await run("paused", [], ["sleep", "100000"]);
  await run("short", [], ["sh", "-c", "while [ ! -e /go ]; do sleep 0.1; done; echo bye; exit 9"]);
  // As far behind as if it had stood still for years.
  await kiln.ok(["exec", "paused", "date", "-s", "@1000000000"]);
  await kiln.ok(["pause", "paused"]);
  port = (await kiln.ok(["port", "web", "80"])).trim();
});
after(() => kiln.dispose());

const stateOf = async (name: string) =>
  JSON.parse(await kiln.ok(["inspect", name]))[0].status.state as string;

/** Numbers of the counter so far; fails on a gap or a repeat. */
async function countedTo(): Promise<number> {
  const lines = (await kiln.ok(["logs", "counter"])).trim().split("\n");
  lines.forEach((line, index) => {
    assert.equal(line, String(index), `line ${index} of the counter`);
  });
  return lines.length;
}

describe("after kill -9 of kilnd", () => {
  it("shows every VM as it is, at the first look", async (test) => {
    const before = await countedTo();
    await kiln.stopDaemon("SIGKILL");
    const killed = performance.now();
    await kiln.startDaemon();
    const listed = (await kiln.ok(["ps", "--format", "{{.Names}}"])).trim().split("\n").sort();
    test.diagnostic(`kilnd started and listed after ${Math.round(performance.now() - killed)} ms`);
    assert.deepEqual(listed, [...VMS].sort());
    assert.equal(await stateOf("paused"), "paused");
    assert.equal(await stateOf("counter"), "running");
    assert.ok((await countedTo()) >= before);
  });

  it("leaves alone what only names a run directory: a user's tail, an editor", async () => {
    const orphan = join(kiln.root, "run", "v", "0123456789abcdef");
    await mkdir(orphan);
    const tail = spawn("tail", ["-F", join(orphan, "qmp.sock"), "/dev/null"], { stdio: "ignore" });
    try {
      await kiln.stopDaemon("SIGKILL");
      await kiln.startDaemon();
      await kiln.ok(["ps"]);
      await eventually("the directory of no VM is gone", async () => !existsSync(orphan) || undefined);
      assert.equal(tail.exitCode ?? tail.signalCode, null);
    } finally {
      tail.kill("SIGKILL");
    }
  });

  it("runs commands in them", async () => {
    assert.equal(await kiln.ok(["exec", "idle", "echo", "here"]), "here\n");
  });

  it("answers on the ports that were published", async () => {
    const response = await fetch(`http://${port}/`);
    assert.equal(await response.text(), "hello");
  });

  it("has neither a gap nor a repeat in a log written meanwhile", async () => {
    const before = await countedTo();
    await kiln.stopDaemon("SIGKILL");
    // The guest writes on while nobody reads.
    await kiln.startDaemon();
    let now = before;
    while (now < before + 100) now = await countedTo();
  });

  it("lets a paused VM go on", async () => {
    await kiln.ok(["unpause", "paused"]);
    assert.equal(await kiln.ok(["exec", "paused", "echo", "on"]), "on\n");
  });

  it("sets its clock right, which stood still for as long", async () => {
    const behind = async () => Date.now() / 1000 - Number(await kiln.ok(["exec", "paused", "date", "+%s"]));
    await eventually("its clock is right", async () => Math.abs(await behind()) < 300 || undefined);
  });

  it("learns of a program that ended while no kilnd was there", async () => {
    // Its end may come before the exec's own: nothing is said of that one.
    await kiln.kiln(["exec", "short", "touch", "/go"]);
    await kiln.stopDaemon("SIGKILL");
    await kiln.startDaemon();
    assert.equal((await kiln.ok(["wait", "short"])).trim(), "9");
    assert.equal(await kiln.ok(["logs", "short"]), "bye\n");
  });

  it("says failed of a VM whose VMM died while no kilnd was there", async () => {
    const pid = JSON.parse(await kiln.ok(["inspect", "idle"]))[0].status.pid as number;
    await kiln.stopDaemon("SIGKILL");
    await killToTheEnd(pid);
    await kiln.startDaemon();
    const [{ status }] = JSON.parse(await kiln.ok(["inspect", "idle"]));
    assert.deepEqual([status.state, status.reason], ["failed", "vmm-died"]);
  });

  it("leaves nothing that belongs to no VM", async () => {
    // It ends with 1 and names them where there are any.
    const { code, stderr } = await kiln.kiln(["system", "df"]);
    assert.deepEqual([code, stderr], [0, ""]);
  });
});
