import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../test/fixtures/fake-rooms.js";
import { hasReason, KilnError } from "../base/errors.js";
import type { VmEntry } from "./vm/entry.js";
import type { VmConfig } from "./vm/vm-config.js";

const kilnd = engineCase();

async function started(config: Partial<VmConfig> = {}): Promise<{ entry: VmEntry; vmm: FakeVmm }> {
  const entry = await kilnd.create(config);
  await kilnd.engine.vms.start(entry.id);
  return { entry, vmm: lastVmm() };
}

function lastVmm(): FakeVmm {
  const vmm = kilnd.world.vmms.at(-1);
  assert.ok(vmm);
  return vmm;
}

const ended = (entry: VmEntry) => kilnd.engine.reached(entry, "exited");

async function textOf(entry: VmEntry): Promise<string> {
  let text = "";
  for await (const { data } of entry.log.read()) text += Buffer.from(data).toString();
  return text;
}

describe("a run", () => {
  it("boots what the image says and ends with the program's code", async () => {
    const { entry, vmm } = await started({ command: ["echo", "hi"], env: ["B=user"] });
    assert.equal(entry.state, "running");
    assert.deepEqual(vmm.guest.boot?.process?.args, ["echo", "hi"]);
    assert.ok(vmm.guest.boot?.process?.env.includes("A=image"));
    assert.ok(vmm.guest.boot?.process?.env.includes("B=user"));
    assert.equal(vmm.guest.boot?.root?.cowSerial, "cow");
    vmm.guest.print("hi\n");
    vmm.guest.exit(7);
    await ended(entry);
    assert.equal(entry.state, "exited");
    assert.equal(entry.status.exitCode, 7);
    assert.equal(entry.status.reason, "program-exited");
    assert.equal(await textOf(entry), "hi\n");
    assert.ok(vmm.guest.calls.includes("ackExit"));
    assert.equal(vmm.alive, false);
  });

  it("stores all output before it lets the guest go", async () => {
    const { entry, vmm } = await started();
    const text = "x".repeat(300_000);
    vmm.guest.print(text);
    vmm.guest.exit(0);
    await ended(entry);
    assert.equal((await textOf(entry)).length, text.length);
    assert.equal(vmm.guest.acknowledged, BigInt(text.length));
  });

  it("does nothing when it runs already", async () => {
    const { entry } = await started();
    await kilnd.engine.vms.start(entry.id);
    assert.equal(kilnd.world.vmms.length, 1);
  });

  it("leaves no run directory and no port", async () => {
    const { entry, vmm } = await started({
      publish: [{ hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" }],
    });
    assert.deepEqual([...kilnd.world.ports], ["8080->80"]);
    assert.equal(entry.status.ports[0]?.hostPort, 8080);
    vmm.guest.exit(0);
    await ended(entry);
    assert.equal(kilnd.world.ports.size, 0);
    assert.deepEqual(await readdir(join(kilnd.world.root, "run/v")), []);
  });

  it("is removed at its end where that was asked, without a sync", async () => {
    const { entry, vmm } = await started({ autoRemove: true });
    vmm.guest.exit(0);
    await kilnd.engine.reached(entry, "removed");
    assert.ok(!vmm.guest.calls.includes("ackExit"), "nobody waits for disks that are thrown away");
    assert.deepEqual(kilnd.engine.entries(true), []);
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), []);
  });

  it("fails when its VMM dies without a word, with the console's last lines", async () => {
    const { entry, vmm } = await started();
    vmm.end("crashed", "killed by SIGKILL");
    await ended(entry);
    assert.equal(entry.state, "failed");
    assert.equal(entry.status.reason, "vmm-died");
    assert.match(entry.status.message, /killed by SIGKILL/);
    assert.match(entry.status.message, /last words of the kernel/);
  });

  it("goes on when the agent's session breaks, and output and exit still arrive", async () => {
    const { entry, vmm } = await started();
    vmm.guest.print("before\n");
    vmm.guest.cut("the channel broke");
    vmm.guest.print("after\n");
    vmm.guest.exit(0);
    await ended(entry);
    assert.equal(entry.status.reason, "program-exited");
    assert.equal(await textOf(entry), "before\nafter\n");
  });

  it("boots again when the guest reboots, keeps its output, and counts no restart", async () => {
    const { entry, vmm } = await started();
    vmm.guest.print("one\n");
    vmm.guest.reboot();
    while (kilnd.world.vmms.length < 2 || entry.state !== "running") await entry.changed.next();
    lastVmm().guest.print("two\n");
    lastVmm().guest.exit(0);
    await ended(entry);
    assert.equal(await textOf(entry), "one\ntwo\n");
    assert.equal(entry.status.restartCount, 0);
    assert.equal(entry.status.boot, 2);
  });

  it("ends with 0 when the guest powers itself off", async () => {
    const { entry, vmm } = await started();
    vmm.guest.poweroff();
    await ended(entry);
    assert.deepEqual(
      [entry.state, entry.status.exitCode, entry.status.reason],
      ["exited", 0, "guest-poweroff"],
    );
  });
});

describe("a guest that halts without its VMM noticing", () => {
  it("has exited with 0 once it is silent and its console says so", async () => {
    await kilnd.next({ pulseMs: 5 });
    const { entry, vmm } = await started();
    vmm.console = "[   12.3] reboot: System halted\n";
    vmm.guest.silent = true;
    await ended(entry);
    assert.deepEqual(
      [entry.state, entry.status.exitCode, entry.status.reason],
      ["exited", 0, "guest-poweroff"],
    );
    assert.equal(vmm.alive, false);
  });

  it("goes on while it answers, whatever its console says, and while it is only silent", async () => {
    await kilnd.next({ pulseMs: 5 });
    const [talker, mute] = [await started(), await started()];
    talker.vmm.console = "reboot: Power down";
    mute.vmm.guest.silent = true;
    while (talker.vmm.guest.pings < 5 || mute.vmm.guest.pings < 5)
      await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([talker.entry.state, mute.entry.state], ["running", "running"]);
  });
});

describe("a start that fails", () => {
  it("says what could not be executed and keeps its code", async () => {
    kilnd.world.behaviours = [{ notFound: true }];
    const entry = await kilnd.create();
    await assert.rejects(
      kilnd.engine.vms.start(entry.id),
      (error) => hasReason(error, "program-not-started") && (error as KilnError).details.exitCode === "127",
    );
    assert.deepEqual([entry.state, entry.status.exitCode], ["exited", 127]);
    assert.equal(lastVmm().alive, false);
  });

  it("tries a guest that hangs once more", async () => {
    kilnd.world.behaviours = [{ hangs: true }, {}];
    const { entry } = await started();
    assert.equal(entry.state, "running");
    assert.equal(kilnd.world.vmms.length, 2);
    assert.equal(kilnd.world.vmms[0]?.alive, false);
  });

  it("gives up on a guest that never says hello, with its console's last lines", async () => {
    kilnd.world.behaviours = [{ hangs: true }];
    const entry = await kilnd.create();
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "no-hello"));
    assert.equal(entry.state, "failed");
    assert.equal(entry.status.reason, "no-hello");
    assert.match(entry.status.message, /last words of the kernel/);
    assert.ok(kilnd.world.vmms.every((vmm) => !vmm.alive));
    assert.deepEqual(await readdir(join(kilnd.world.root, "run/v")), []);
  });

  it("leaves no VMM when the guest can't be set up", async () => {
    kilnd.world.behaviours = [{ bootError: "no root disk" }, { bootError: "mount /data: I/O error" }];
    const entry = await kilnd.create();
    for (const why of [/no root disk.*last words of the kernel/s, /mount \/data: I\/O error$/]) {
      await assert.rejects(
        kilnd.engine.vms.start(entry.id),
        (error) => hasReason(error, "guest-setup-failed") && why.test((error as Error).message),
        "of a mount it is the guest's own words alone",
      );
    }
    assert.equal(entry.state, "failed");
    assert.equal(lastVmm().alive, false);
  });

  it("says what does not fit where a directory and a file are mounted on each other", async () => {
    kilnd.world.behaviours = [{ bootError: "mount /etc/passwd: not a directory" }];
    const entry = await kilnd.create();
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => {
      return error instanceof KilnError && /nor a file on a directory/.test(error.hint ?? "");
    });
  });

  it("names a port that is taken and leaves no VMM", async () => {
    kilnd.world.portsTaken.add(80);
    const entry = await kilnd.create({
      publish: [{ hostIp: "", hostPort: 80, vmPort: 80, protocol: "tcp" }],
    });
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "port-in-use"));
    assert.equal(lastVmm().alive, false);
    assert.equal(kilnd.world.ports.size, 0);
  });

  it("refuses before anything runs when the host has no memory left", async () => {
    const entry = await kilnd.create();
    kilnd.world.availableMemory = 1024;
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "host-memory-short"));
    assert.equal(kilnd.world.vmms.length, 0);
  });

  it("can be tried again", async () => {
    kilnd.world.launchError = new KilnError(9, "no", { reason: "vmm-failed" });
    const entry = await kilnd.create();
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "vmm-failed"));
    kilnd.world.launchError = undefined;
    await kilnd.engine.vms.start(entry.id);
    assert.equal(entry.state, "running");
  });

  it("removes a VM that was to be removed at its end", async () => {
    kilnd.world.behaviours = [{ bootError: "no" }];
    const entry = await kilnd.create({ autoRemove: true });
    await assert.rejects(kilnd.engine.vms.start(entry.id));
    await kilnd.engine.reached(entry, "removed");
    assert.deepEqual(kilnd.engine.entries(true), []);
  });
});
