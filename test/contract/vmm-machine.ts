// The machine that the guest sees, and what the host can do with it while it runs.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { hasReason, KilnError } from "../../src/base/errors.js";
import { delay } from "../../src/base/runtime.js";
import { x86Level } from "../../src/vmm/cpu-level.js";
import type { VmmHandle } from "../../src/vmm/index.js";
import type { GuestShell } from "../fixtures/vmm-guest.js";
import {
  assertOpenFiles,
  type DriverFactory,
  MIB,
  openFiles,
  processesNaming,
  shellOf,
  VmmBench,
} from "./vmm-bench.js";

export function machineContract(makeDriver: DriverFactory): void {
  describe("machine", () => {
    let bench: VmmBench;
    let handle: VmmHandle;
    let shell: GuestShell;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      const disks = [
        await bench.disk("base", 3 * MIB, true),
        await bench.disk("cow", 5 * MIB, false),
        await bench.disk("extra", 7 * MIB, false),
      ];
      handle = await bench.launch({ disks, vcpus: 2, kernelArgs: ["kiln.test=yes"] });
      shell = await shellOf(handle);
    });
    after(() => bench[Symbol.asyncDispose]());

    it("shows the disks in the order of the spec, as large as their files", async () => {
      const command = "for d in a b c; do head -n 1 /dev/vd$d; cat /sys/block/vd$d/size; done";
      const expected = ["disk base", 3 * 2048, "disk cow", 5 * 2048, "disk extra", 7 * 2048];
      assert.deepEqual((await shell.output(command)).split("\n"), expected.map(String));
    });

    it("refuses the guest's writes to a read-only disk", async () => {
      assert.equal(await shell.output("cat /sys/block/vda/ro /sys/block/vdb/ro"), "1\n0");
      assert.notEqual((await shell.run("dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync")).status, 0);
    });

    it("gives the vCPUs and the memory asked for, and the user's kernel arguments", async () => {
      assert.equal(await shell.output("nproc"), "2");
      const total = Number(await shell.output("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"));
      assert.ok(total > 150 * 1024 && total <= 256 * 1024, `MemTotal ${total} kB`);
      assert.match(await shell.output("cat /proc/cmdline"), /kiln\.test=yes/);
    });

    it("gives the processor's level that it promises", async () => {
      const { cpuLevel } = await bench.newDriver().probe();
      assert.equal(x86Level(await shell.output("cat /proc/cpuinfo")), cpuLevel);
    });

    it("keeps the guest's clock at the host's pace", async () => {
      // The guest reads its clock at some moment between the question and the answer, on a busy machine not soon.
      const look = async () => {
        const asked = performance.now() / 1000;
        const guest = Number((await shell.output("cat /proc/uptime")).split(" ")[0]);
        return { asked, guest, answered: performance.now() / 1000 };
      };
      const first = await look();
      await delay(2000);
      const second = await look();
      const guest = second.guest - first.guest;
      const [least, most] = [second.asked - first.answered, second.answered - first.asked];
      assert.ok(
        guest > 0.75 * least && guest < 1.25 * most,
        `guest ${guest} s, host ${least} s to ${most} s`,
      );
    });

    it("pauses and resumes: nothing runs in between", async () => {
      await handle.pause();
      const answer = shell.post("echo awake");
      const paused = await handle.stats();
      let answered = false;
      void answer.then(() => {
        answered = true;
      });
      await delay(500);
      assert.equal(answered, false);
      assert.ok((await handle.stats()).cpuMs - paused.cpuMs < 250, "a paused guest uses no CPU");
      await handle.resume();
      assert.equal((await answer).output.trim(), "awake");
    });

    it("takes memory from the guest and gives it back", async () => {
      const free = async () =>
        Number(await shell.output("sed -n 's/^MemFree: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"));
      const before = await free();
      await handle.setBalloon(96 * MIB);
      let taken = before;
      while (taken > before - 64 * 1024) taken = await free();
      await handle.setBalloon(0);
      while (taken < before - 32 * 1024) taken = await free();
      assert.ok(taken > before - 32 * 1024);
    });

    it("tells what the VM costs the host", async () => {
      const stats = await handle.stats();
      assert.ok(stats.cpuMs > 0 && stats.rssBytes > 16 * MIB, JSON.stringify(stats));
    });
  });

  describe("launch", () => {
    let bench: VmmBench;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
    });
    after(() => bench[Symbol.asyncDispose]());

    const refusals: [string, Parameters<VmmBench["spec"]>[0], string][] = [
      ["no vCPU", { vcpus: 0 }, "bad-vm-size"],
      ["too many vCPUs", { vcpus: 10_000 }, "bad-vm-size"],
      ["too little memory", { memoryBytes: MIB }, "bad-vm-size"],
      ["a disk id with a comma", { disks: [{ id: "a,b", path: "/x", readOnly: true }] }, "bad-disk-id"],
      ["kernel arguments that do not fit", { kernelArgs: ["x".repeat(3000)] }, "bad-kernel-args"],
      ["kernel arguments with a line break", { kernelArgs: ["a\nb"] }, "bad-kernel-args"],
      [
        "a run directory too long for sockets",
        { runDirectory: `/tmp/${"x".repeat(120)}` },
        "socket-path-too-long",
      ],
    ];
    for (const [what, change, reason] of refusals) {
      it(`refuses ${what}`, async () => {
        const spec = await bench.spec(change);
        await assert.rejects(bench.newDriver().launch(spec), (error) => hasReason(error, reason));
      });
    }

    it("names the file of a disk or kernel that is missing, and leaves nothing behind", async () => {
      for (const change of [
        { kernel: "/nonexistent/vmlinux" },
        { disks: [{ id: "cow", path: "/nonexistent/cow.img", readOnly: false }] },
      ]) {
        const spec = await bench.spec(change);
        const before = await openFiles();
        await assert.rejects(bench.newDriver().launch(spec), (error) => {
          assert.ok(error instanceof KilnError);
          assert.match(error.message, /\/nonexistent\//);
          return true;
        });
        assert.deepEqual(await readdir(spec.runDirectory), []);
        await assertOpenFiles(before);
      }
    });

    it("refuses a writable disk that another VM has", async () => {
      const disks = [await bench.disk("cow", MIB, false)];
      await bench.launch({ disks });
      await assert.rejects(bench.launch({ disks }), KilnError);
      await bench.killAll();
    });

    it("lets two VMs share a read-only disk", async () => {
      const disks = [await bench.disk("base", MIB, true)];
      const both = await Promise.all([bench.launch({ disks }), bench.launch({ disks })]);
      for (const one of both)
        assert.equal(await (await shellOf(one)).output("head -n 1 /dev/vda"), "disk base");
      await bench.killAll();
    });

    it("leaves nothing behind when the launch is cancelled", async () => {
      const spec = await bench.spec();
      const before = await openFiles();
      const cancel = new AbortController();
      const launching = bench.newDriver().launch(spec, { signal: cancel.signal });
      setTimeout(() => cancel.abort(), 15);
      await assert.rejects(launching);
      assert.deepEqual(await processesNaming(spec.runDirectory), []);
      await assertOpenFiles(before);
    });

    it("opens and closes as many files and processes over many lives", async () => {
      const driver = bench.newDriver();
      await (await driver.launch(await bench.spec())).kill();
      const before = await openFiles();
      for (let life = 0; life < 10; life++) {
        const handle = await driver.launch(await bench.spec());
        await handle.dialChannel().catch(() => undefined);
        await handle.kill();
      }
      await assertOpenFiles(before);
      assert.deepEqual(await processesNaming(bench.root), []);
    });
  });
}
