import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Code, KilnError } from "../base/errors.js";
import { planEnvironment } from "../base/privileges.js";
import { judgeKvm, type KvmProbe } from "./kvm-verdict.js";
import { testBoot } from "./test-boot.js";
import { VmmProcess } from "./vmm-process.js";

describe("judgeKvm", () => {
  let cacheDirectory: string;
  let device: string;
  beforeEach(async () => {
    cacheDirectory = await mkdtemp(join(tmpdir(), "kvm-"));
    device = join(cacheDirectory, "device");
    await writeFile(device, "");
  });
  afterEach(() => rm(cacheDirectory, { recursive: true, force: true }));

  const probe = (change: Partial<KvmProbe>): KvmProbe => ({
    kind: "qemu",
    version: "7.2.22",
    cacheDirectory,
    kernel: { vmlinux: device },
    device,
    boot: async () => assert.fail("booted"),
    ...change,
  });

  it("says no at once where there is no device", async () => {
    const verdict = await judgeKvm(probe({ device: "/nonexistent/kvm" }));
    assert.deepEqual(verdict, { works: false, why: "no /nonexistent/kvm", final: false, settled: true });
  });

  it("does not believe a device that merely opens", async () => {
    const verdict = await judgeKvm(
      probe({ boot: async () => ({ why: "no word from the guest", late: false }) }),
    );
    assert.equal(verdict.works, false);
    assert.match(verdict.why, /test boot under KVM failed: no word from the guest/);
  });

  it("keeps nothing of a boot that could not even be tried", async () => {
    const boot = () =>
      Promise.reject(new KilnError(Code.FailedPrecondition, "confine the VMM: no", { reason: "no-jail" }));
    const verdict = await judgeKvm(probe({ boot }));
    assert.deepEqual([verdict.works, verdict.final, verdict.settled], [false, false, false]);
    assert.match(verdict.why, /not probed: confine the VMM: no/);
    assert.equal((await judgeKvm(probe({ boot: async () => undefined }))).works, true);
  });

  it("keeps nothing of a boot whose kernel somebody removed meanwhile", async () => {
    const kernel = { vmlinux: join(cacheDirectory, "vmlinux"), initrd: join(cacheDirectory, "initrd") };
    for (const removed of Object.values(kernel)) {
      for (const path of Object.values(kernel)) await writeFile(path, "");
      const boot = async () => {
        await rm(removed);
        return { why: "could not load the kernel", late: false };
      };
      const verdict = await judgeKvm(probe({ boot, kernel }));
      assert.deepEqual([verdict.works, verdict.settled], [false, false]);
      assert.match(verdict.why, /not probed: .*no such file/);
    }
    assert.equal((await judgeKvm(probe({ boot: async () => undefined }))).works, true);
  });

  it("boots once per VMM version and keeps the verdict", async () => {
    let boots = 0;
    const boot = async () => void boots++;
    assert.equal((await judgeKvm(probe({ boot }))).works, true);
    assert.equal((await judgeKvm(probe({ boot }))).works, true);
    assert.equal(boots, 1);
    await judgeKvm(probe({ boot, version: "8.0.0" }));
    assert.equal(boots, 2);
  });

  it("tries a boot that was only too slow again, a while later, and believes it the third time", async () => {
    let boots = 0;
    let clock = 1_000_000;
    const late = probe({
      now: () => clock,
      boot: async () => {
        boots++;
        return { why: "no word from the guest in 10000 ms", late: true };
      },
    });
    assert.deepEqual([(await judgeKvm(late)).final, boots], [false, 1]);
    assert.equal((await judgeKvm(late)).settled, true);
    assert.equal(boots, 1, "not at once");
    for (const expected of [2, 3, 3]) {
      clock += 3_600_000;
      await judgeKvm(late);
      assert.equal(boots, expected);
    }
    clock += 24 * 3_600_000;
    await judgeKvm(late);
    assert.equal(boots, 4, "once a day from then on");
  });

  // KVM_CREATE_VM fails with EBUSY while another hypervisor has the processor.
  it("tries again a day later what failed in any way", async () => {
    let clock = 1_000_000;
    const now = () => clock;
    await judgeKvm(probe({ now, boot: async () => ({ why: "Device or resource busy", late: false }) }));
    clock += 3_600_000;
    assert.equal((await judgeKvm(probe({ now }))).works, false);
    clock += 24 * 3_600_000;
    assert.equal((await judgeKvm(probe({ now, boot: async () => undefined }))).works, true);
  });

  it("forgets a slow boot when a later one succeeds", async () => {
    let clock = 0;
    const now = () => clock;
    await judgeKvm(probe({ now, boot: async () => ({ why: "no word from the guest", late: true }) }));
    clock += 3_600_000;
    const verdict = await judgeKvm(probe({ now, boot: async () => undefined }));
    assert.deepEqual([verdict.works, verdict.final], [true, true]);
  });

  it("tries it where only root may open the device: VMs get a node of their own", async () => {
    await chmod(device, 0o600);
    assert.equal((await judgeKvm(probe({ boot: async () => undefined }))).works, true);
  });

  it("says that it has not been tried where there is nothing to boot, and tries later", async () => {
    const verdict = await judgeKvm(probe({ kernel: undefined }));
    assert.deepEqual([verdict.works, verdict.final, verdict.settled], [false, false, false]);
    assert.match(verdict.why, /not probed yet/);
    assert.equal((await judgeKvm(probe({ boot: async () => undefined }))).works, true);
  });
});

describe("testBoot", () => {
  const shell = (script: string) =>
    VmmProcess.spawn({ argv: ["sh", "-c", script], env: planEnvironment(), stdout: "pipe" });

  it("succeeds when the kernel speaks and the VMM ends", async () => {
    assert.equal(await testBoot(await shell("echo '[    0.0] Linux version 6.1'")), undefined);
  });

  it("fails in silence after its deadline", async () => {
    const failure = await testBoot(await shell("exec sleep 60"), 50);
    assert.match(failure?.why ?? "", /no word from the guest in 50 ms/);
    assert.equal(failure?.late, true);
  });

  it("fails with the VMM's own words when it ends before the kernel speaks", async () => {
    assert.deepEqual(await testBoot(await shell("echo 'no KVM today' >&2; exit 1")), {
      why: "no KVM today",
      late: false,
    });
    assert.match((await testBoot(await shell("exit 3")))?.why ?? "", /ended with exit code 3 before/);
  });
});
