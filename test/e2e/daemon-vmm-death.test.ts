// kill -9 of a VMM, and guests that end their machine by themselves: states, reasons, restart policies.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
});
after(() => kiln.dispose());

const run = (name: string, flags: string[], ...command: string[]) =>
  kiln.ok(["run", "-d", "--name", name, "-m", "128m", ...flags, image, ...command]);

interface Status {
  state: string;
  reason: string;
  message: string;
  pid: number;
  exitCode: number;
  restartCount: number;
}

async function statusOf(name: string): Promise<Status> {
  return JSON.parse(await kiln.ok(["inspect", name]))[0].status;
}

async function killVmm(name: string): Promise<void> {
  process.kill((await statusOf(name)).pid, "SIGKILL");
}

/** The first status that passes. */
async function eventually(name: string, passes: (status: Status) => boolean): Promise<Status> {
  for (;;) {
    const status = await statusOf(name);
    if (passes(status)) return status;
  }
}

describe("a VM whose VMM is killed", () => {
  it("has failed, says so, and can be started again with its disk", async () => {
    await run("plain", [], "sh", "-c", "echo up; sleep 100000");
    await kiln.ok(["exec", "plain", "sh", "-c", "echo kept > /root/file; sync"]);
    // What the guest has not handed over by then is lost with its VMM.
    while ((await kiln.ok(["logs", "plain"])) !== "up\n");
    await killVmm("plain");
    await kiln.ok(["wait", "plain"]);
    const status = await statusOf("plain");
    assert.equal(status.state, "failed");
    assert.equal(status.reason, "vmm-died");
    assert.match(status.message, /SIGKILL|signal 9|killed/i);
    assert.equal(await kiln.ok(["logs", "plain"]), "up\n");
    await kiln.ok(["start", "plain"]);
    assert.equal(await kiln.ok(["exec", "plain", "cat", "/root/file"]), "kept\n");
    await kiln.ok(["rm", "-f", "plain"]);
  });

  it("comes back under its restart policy", async () => {
    await run("back", ["--restart", "on-failure"], "sleep", "100000");
    const { pid } = await statusOf("back");
    await killVmm("back");
    const status = await eventually("back", (now) => now.state === "running" && now.pid !== pid);
    assert.equal(status.restartCount, 1);
    await kiln.ok(["rm", "-f", "back"]);
  });

  it("is gone where it was to be removed", async () => {
    await run("gone", ["--rm"], "sleep", "100000");
    await killVmm("gone");
    await kiln.kiln(["wait", "--condition", "removed", "gone"]);
    assert.equal((await kiln.kiln(["inspect", "gone"])).code, 1);
  });
});

describe("a guest that ends its machine", () => {
  it("boots again on reboot, counting no restart", async () => {
    await run(
      "reboots",
      [],
      "sh",
      "-c",
      "echo boot; if [ -e /once ]; then sleep 100000; fi; touch /once; sync; reboot -f",
    );
    await eventually("reboots", (status) => status.state === "running" && status.restartCount === 0);
    while ((await kiln.ok(["logs", "reboots"])) !== "boot\nboot\n");
    assert.equal((await eventually("reboots", (status) => status.state === "running")).restartCount, 0);
    await kiln.ok(["rm", "-f", "reboots"]);
  });

  it("has exited with 0 on poweroff", async () => {
    await run("off", [], "sh", "-c", "sync; poweroff -f");
    assert.equal((await kiln.ok(["wait", "off"])).trim(), "0");
    assert.equal((await statusOf("off")).reason, "guest-poweroff");
  });

  it("has exited with 0 when it halts, although its VMM goes on", async () => {
    await run("halts", [], "sh", "-c", "sync; busybox halt -f");
    assert.equal((await kiln.ok(["wait", "halts"])).trim(), "0");
    assert.equal((await statusOf("halts")).reason, "guest-poweroff");
  });

  it("has failed on a panic, with the kernel's words", async () => {
    await run("panics", [], "sh", "-c", "echo c > /proc/sysrq-trigger");
    await kiln.ok(["wait", "panics"]);
    const status = await statusOf("panics");
    assert.deepEqual([status.state, status.reason], ["failed", "guest-panic"]);
    assert.match(status.message, /sysrq/i);
  });
});
