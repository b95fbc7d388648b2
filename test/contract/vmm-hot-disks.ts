// Disks that come and go while the guest runs, and grow: found by their serials, gone when they are to go, and the same for a
// later kilnd, wherever the one before was killed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { open, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import { delay } from "../../src/base/runtime.js";
import type { DiskSpec, VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import { QmpClient } from "../../src/vmm/qemu/client.js";
import { type GuestShell, makeTestGuest, SCSI_MODULES } from "../fixtures/vmm-guest.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";

/** More than one bus takes, and the rest where the hot ones come to. */
const AT_LAUNCH = 30;

/** The name of the disk with that serial, once it is there. */
const nameOf = (serial: string) =>
  [
    'until [ -n "$n" ]; do for d in /sys/block/vd* /sys/block/sd*; do [ -e $d ] || continue;',
    "[ -e $d/serial ] && s=$(cat $d/serial) || s=$(tail -c +5 $d/device/vpd_pg80 2> /dev/null);",
    `[ "$s" = ${serial} ] && [ $(cat $d/size) -gt 0 ] && n=\${d##*/}; done; [ -n "$n" ] || sleep 0.05; done; echo $n`,
  ].join(" ");

/** The name of a disk that begins with its own id. The stand-in's serials are those of the launch. */
const nameByContent = (id: string) =>
  [
    'until [ -n "$n" ]; do for d in /sys/block/vd*; do',
    `[ "$(head -n 1 /dev/\${d##*/})" = "disk ${id}" ] && n=\${d##*/}; done; [ -n "$n" ] || sleep 0.05; done; echo $n`,
  ].join(" ");

/** Until the disk is not there, or is the one sector that holds a disk's place. */
const untilGone = (device: string) =>
  `while [ "$(cat /sys/block/${device.slice(5)}/size 2> /dev/null || echo 1)" != 1 ]; do sleep 0.05; done`;

async function firstLine(path: string): Promise<string> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
  return buffer.subarray(0, bytesRead).toString("latin1").split("\n", 1)[0] ?? "";
}

/** A block device over a file; undefined, with the reason told, where this user may not have one. */
async function loopDevice(t: TestContext, path: string): Promise<string | undefined> {
  try {
    const device = execFileSync("losetup", ["--find", "--show", path], { stdio: "pipe" }).toString().trim();
    t.after(() => void execFileSync("losetup", ["--detach", device]));
    return device;
  } catch (error) {
    t.skip(`no loop device can be made here: ${(error as Error).message.split("\n")[1] ?? ""}`);
    return undefined;
  }
}

export function hotDisksContract(makeDriver: DriverFactory): void {
  describe("disks of a running VM", () => {
    let bench: VmmBench;
    let spec: VmmSpec;
    let handle: VmmHandle;
    let shell: GuestShell;
    let places: number;
    before(async () => {
      bench = await VmmBench.open(makeDriver, (root) => makeTestGuest(root, SCSI_MODULES));
      const { capabilities } = await bench.newDriver().probe();
      places = capabilities?.hotplugDisks ?? 0;
      const { maxDisks = 0 } = capabilities ?? {};
      const count = maxDisks > AT_LAUNCH ? AT_LAUNCH : maxDisks - places;
      const made = Array.from({ length: count }, (_, index) => bench.disk(`d${index}`, MIB, index > 1));
      spec = await bench.spec({ disks: await Promise.all(made), hotplug: true });
      handle = bench.adopt(await bench.newDriver().launch(spec));
      shell = await shellOf(handle);
    });
    after(() => bench[Symbol.asyncDispose]());

    const skipless = (t: TestContext) => {
      if (places > 0) return false;
      t.skip("this VMM takes no disk while it runs");
      return true;
    };
    const serialOf = ({ id }: DiskSpec) => {
      const serial = handle.disks.get(id);
      assert.ok(serial !== undefined, id);
      return serial;
    };
    /** Of a disk that nobody has written to yet. */
    const found = async (disk: DiskSpec) => {
      const serial = serialOf(disk);
      const bySerial = handle.record.driver === "qemu";
      return `/dev/${await shell.output(bySerial ? nameOf(serial) : nameByContent(disk.id))}`;
    };

    it("are refused where there is no place for them", async () => {
      const plain = bench.adopt(await bench.newDriver().launch(await bench.spec()));
      assert.equal(plain.record.capabilities.hotplugDisks ?? 0, 0);
      const more = await bench.disk("more", MIB, false);
      await assert.rejects(plain.attachDisk(more), (error) => hasReason(error, "no-hotplug"));
      await plain.kill();
    });

    it("come with their content, writable or not as asked, and keep what is written", async (t) => {
      if (skipless(t)) return;
      const [work, fixed] = [await bench.disk("work", MIB, false), await bench.disk("fixed", 2 * MIB, true)];
      for (const disk of [work, fixed]) await handle.attachDisk(disk);
      const [workAt, fixedAt] = [await found(work), await found(fixed)];
      assert.equal(await shell.output(`head -n 1 ${fixedAt}`), "disk fixed");
      assert.equal(await shell.output(`cat /sys/block/${fixedAt.slice(5)}/ro`), "1");
      assert.notEqual((await shell.run(`echo no > ${fixedAt}`)).status, 0);
      assert.equal(await shell.output(`head -n 1 ${workAt}`), "disk work");
      await shell.output(`echo "written to work" > ${workAt} && sync`);
      assert.equal(await firstLine(work.path), "written to work");
      assert.equal(await firstLine(fixed.path), "disk fixed");
      for (const { id } of [work, fixed]) await handle.detachDisk(id);
    });

    it("are refused a second time, and where their file is not there, and nothing stays of it", async (t) => {
      if (skipless(t)) return;
      const late = await bench.disk("late", MIB, false);
      await handle.attachDisk(late);
      await assert.rejects(handle.attachDisk(late), (error) => hasReason(error, "disk-attached"));
      await handle.detachDisk("late");
      await rm(late.path);
      await assert.rejects(handle.attachDisk(late), (error) => hasReason(error, "no-such-file"));
      const again = await bench.disk("late", MIB, false);
      await handle.attachDisk(again);
      assert.equal(await shell.output(`head -n 1 ${await found(again)}`), "disk late");
      await handle.detachDisk("late");
      await handle.detachDisk("late");
    });

    it("grow, those of the launch too", async (t) => {
      if (skipless(t)) return;
      const hot = await bench.disk("grows", MIB, false);
      await handle.attachDisk(hot);
      for (const disk of [hot, spec.disks[0] as DiskSpec]) {
        const at = await found(disk);
        await truncate(disk.path, 5 * MIB);
        await handle.growDisk(disk);
        const size = `/sys/block/${at.slice(5)}/size`;
        await shell.output(`until [ $(cat ${size}) = ${(5 * MIB) / 512} ]; do sleep 0.05; done`);
      }
    });

    it("go while the guest writes, and leave the others alone", async (t) => {
      if (skipless(t)) return;
      const busy = await bench.disk("busy", 64 * MIB, false);
      await handle.attachDisk(busy);
      const at = await found(busy);
      await shell.output(
        `(while dd if=/dev/zero of=${at} bs=64k conv=fsync; do :; done) > /dev/null 2>&1 & sleep 0.3`,
      );
      await handle.detachDisk("busy");
      assert.equal(handle.disks.has("busy"), false);
      await shell.output(untilGone(at));
      const other = await found(spec.disks.at(-1) as DiskSpec);
      assert.match(await shell.output(`head -n 1 ${other}`), /^disk d/);
      await handle.attachDisk(await bench.disk("busy", MIB, false));
      assert.ok(handle.disks.has("busy"));
      for (const id of ["busy", "grows"]) await handle.detachDisk(id);
    });

    it("are a block device as well as a file", async (t) => {
      if (skipless(t)) return;
      const image = await bench.disk("image", MIB, false);
      const path = await loopDevice(t, image.path);
      if (path === undefined) return;
      const disk: DiskSpec = { id: "loop", path, readOnly: false, device: true };
      if (handle.record.driver === "firecracker") {
        const isRefused = (error: unknown) => hasReason(error, "no-device-disks");
        const other = await bench.spec({ disks: [disk] });
        await assert.rejects(() => bench.newDriver().launch(other), isRefused);
        return await assert.rejects(() => handle.attachDisk(disk), isRefused);
      }
      await handle.attachDisk(disk);
      await shell.output(`echo "through the device" > ${await found(disk)} && sync`);
      await handle.detachDisk("loop");
      execFileSync("blockdev", ["--flushbufs", path]);
      assert.equal(await firstLine(image.path), "through the device");
      const launched = bench.adopt(await bench.newDriver().launch(await bench.spec({ disks: [disk] })));
      const other = await shellOf(launched);
      assert.equal(await other.output("head -n 1 /dev/vda"), "through the device");
      await launched.kill();
    });

    it("are the same for a later kilnd, which can take them away", async (t) => {
      if (skipless(t)) return;
      const kept = await bench.disk("kept", MIB, false);
      await handle.attachDisk(kept);
      await shell.close();
      await handle.detach();
      const record = JSON.parse(JSON.stringify(handle.record)) as typeof handle.record;
      handle = bench.adopt(await bench.newDriver().reattach(record, { ...spec, disks: [] }));
      shell = await shellOf(handle);
      const at = await found(kept);
      assert.equal(await shell.output(`head -n 1 ${at}`), "disk kept");
      await handle.detachDisk("kept");
      await shell.output(untilGone(at));
      assert.equal(handle.disks.has("kept"), false);
      assert.ok(handle.disks.has("d0"));
    });

    it("are attached anew where a kilnd was killed in the middle", async (t) => {
      if (skipless(t)) return;
      if (handle.record.driver !== "qemu") return t.skip("of QEMU's steps alone");
      await shell.close();
      await handle.detach();
      const qmp = await QmpClient.connect(join(spec.runDirectory, "qmp.sock"), () => undefined);
      await qmp.execute("blockdev-add", { driver: "null-co", "node-name": "file-torn", size: MIB });
      await qmp.execute("blockdev-add", { driver: "raw", "node-name": "disk-torn", file: "file-torn" });
      qmp.close();
      handle = bench.adopt(await bench.newDriver().reattach(handle.record, spec));
      shell = await shellOf(handle);
      assert.equal(handle.disks.has("torn"), false);
      const torn = await bench.disk("torn", MIB, false);
      await handle.attachDisk(torn);
      assert.equal(await shell.output(`head -n 1 ${await found(torn)}`), "disk torn");
    });

    it("have what was synced when the VMM is killed", async (t) => {
      if (skipless(t)) return;
      const last = await bench.disk("last", MIB, false);
      await handle.attachDisk(last);
      await shell.output(`echo "before the end" > ${await found(last)} && sync`);
      process.kill(handle.record.process.pid, "SIGKILL");
      await handle.exited;
      assert.equal(await firstLine(last.path), "before the end");
      await assert.rejects(handle.attachDisk(last), (error) => hasReason(error, "vmm-gone"));
      // Its hold on the file has ended with it.
      const next = bench.adopt(await bench.newDriver().launch(await bench.spec({ disks: [last] })));
      while ((await next.stats()).cpuMs === 0) await delay(5);
      await next.kill();
    });
  });
}
