// Where KVM's test boot runs, and what becomes of it: real jails around small programs in a VMM's place.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { exists } from "../base/files.js";
import { identifyProcess, isAlive } from "../base/processes.js";
import { createFirecrackerDriver } from "./firecracker/driver.js";
import { Confiner } from "./jail/confiner.js";
import { hostTree } from "./jail/tree.js";
import { judgeJail } from "./jail/verdict.js";
import { bootInJail, type JailedBoot } from "./jailed-boot.js";
import { writeProcessRecord } from "./process-record.js";
import { createQemuDriver } from "./qemu/driver.js";

const UID = process.getuid?.() ?? 0;
const verdict = await judgeJail({ uid: UID });
const skip = !verdict.holds && `no jail can be made here: ${verdict.why}`;

describe("KVM's test boot", () => {
  let root = "";
  let kernel = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-boot-"));
    kernel = join(root, "vmlinux");
    await writeFile(kernel, "a kernel\n", { mode: 0o644 });
  });
  after(() => rm(root, { recursive: true, force: true }));

  const boot = (script: string, change: Partial<JailedBoot> = {}) => {
    const file = { path: kernel, at: "/vmlinux", writable: false, what: "kernel" };
    return bootInJail({
      ...{ confiner: new Confiner({}), driver: "qemu", program: "/usr/bin/sh", tree: hostTree },
      ...{ cacheDirectory: root, device: "/dev/null", otherDevices: [] },
      plan: async () => ({ files: [file], command: () => ["/usr/bin/sh", "-c", script] }),
      ...change,
    });
  };

  it("runs in a jail: by no user of the host's, without its files and its network", { skip }, async () => {
    const own =
      '[ "$(cat /vmlinux)" = "a kernel" ] && [ ! -e /etc/passwd ] && [ ! -e /root ] && [ ! -e /proc ]';
    const nobody = UID === 0 ? '[ "$(id -u)" = 1899999997 ]' : "true";
    assert.equal(await boot(`${own} && ${nobody} && echo Linux version`), undefined);
    assert.deepEqual(await readdir(root), ["vmlinux"]);
    assert.match((await boot("echo its last words >&2; exit 1"))?.why ?? "", /its last words/);
  });

  it("is not made where there is no jail, and made where VMMs may run without one", async () => {
    const script = `echo Linux version; touch ${join(root, "ran")}`;
    const missing = "/nonexistent/bwrap";
    const refused = boot(script, { confiner: new Confiner({ bwrap: missing }) });
    await assert.rejects(refused, (error) => hasReason(error, "no-jail"));
    assert.equal(await exists(join(root, "ran")), false);
    const allowed = new Confiner({ bwrap: missing, allowUnconfined: true });
    assert.equal(await boot("echo Linux version", { confiner: allowed }), undefined);
  });

  it("ends the one of a kilnd that was killed meanwhile", { skip }, async () => {
    const child = spawn("sleep", ["600"], { stdio: "ignore" });
    const ended = once(child, "exit");
    const spawned = (await identifyProcess(child.pid ?? 0)) ?? assert.fail("it did not start");
    const left = join(root, "probe-qemu-abcdef");
    await mkdir(left);
    const record = { version: 1, vmId: "a", driver: "qemu", executable: "", uid: UID, spawned } as const;
    writeProcessRecord(left, record);
    await boot("echo Linux version");
    await ended;
    assert.equal(await isAlive(spawned), false);
    assert.equal(await exists(left), false);
  });

  for (const { name, version, make } of [
    { name: "QEMU", version: "QEMU emulator version 8.0.0", make: createQemuDriver },
    { name: "Firecracker", version: "Firecracker v1.16.1", make: createFirecrackerDriver },
  ]) {
    it(`does not run by ${name} outside a jail`, async () => {
      const directory = await mkdtemp(join(root, "driver-"));
      const [program, ran, device] = ["vmm", "ran", "kvm"].map((file) => join(directory, file)) as [
        string,
        string,
        string,
      ];
      const lines = ["#!/bin/sh", `case "$*" in --version) echo '${version}';; *) touch ${ran};; esac`];
      await writeFile(program, `${lines.join("\n")}\n`);
      await chmod(program, 0o755);
      await writeFile(device, "");
      await chmod(device, 0o666);
      const driver = make({
        ...{ cacheDirectory: directory, qemu: program, firecracker: program, kvmDevice: device },
        ...{ bwrap: "/nonexistent/bwrap", probeKernel: async () => ({ vmlinux: kernel }) },
      });
      assert.match((await driver.probe()).why, /not probed: confine the VMM: .*not installed/);
      assert.equal(await exists(ran), false);
    });
  }
});
