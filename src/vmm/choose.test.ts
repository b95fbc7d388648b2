import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason, KilnError } from "../base/errors.js";
import { createVmms, type VmmsOptions } from "./choose.js";

describe("createVmms", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "vmms-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  /** A program that says it is that version. */
  async function program(name: string, words: string): Promise<string> {
    const path = join(directory, name);
    await writeFile(path, `#!/bin/sh\necho '${words}'\n`);
    await chmod(path, 0o755);
    return path;
  }

  const missing = { qemu: "/nonexistent/qemu", firecracker: "/nonexistent/firecracker" };
  const make = (options: Partial<VmmsOptions>) =>
    createVmms({ cacheDirectory: directory, ...missing, ...options });

  it("says what is missing where no VMM is installed", async () => {
    await assert.rejects(make({}).choose(), (error) => {
      assert.ok(hasReason(error, "no-vmm"));
      assert.match((error as KilnError).message, /nonexistent\/firecracker.*nonexistent\/qemu/);
      return true;
    });
  });

  it("refuses a name that it does not know, and lists those it does", async () => {
    await assert.rejects(make({}).choose("bochs"), (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.reason, "unknown-vmm");
      assert.match(error.hint ?? "", /firecracker, qemu, qemu-kvm, qemu-tcg/);
      return true;
    });
  });

  it("falls back to QEMU and says why not Firecracker", async () => {
    const qemu = await program("qemu", "QEMU emulator version 7.2.22 (Debian 1:7.2)");
    const { driver, probe, why } = await make({ qemu }).choose();
    assert.equal(driver.kind, "qemu");
    assert.equal(probe.version, "7.2.22");
    assert.match(why, /QEMU 7\.2\.22 with software emulation.*firecracker not used: .* is not installed/);
  });

  it("takes Firecracker first where it runs", async () => {
    const [qemu, firecracker] = [
      await program("qemu", "QEMU emulator version 8.0.0"),
      await program("firecracker", "Firecracker v1.16.1"),
    ];
    const vmms = make({ qemu, firecracker, trustFirecracker: true });
    assert.equal((await vmms.choose()).driver.kind, "firecracker");
    assert.equal((await vmms.choose("qemu")).driver.kind, "qemu");
    assert.deepEqual(
      (await vmms.probes()).map((probe) => [probe.kind, probe.usable]),
      [
        ["firecracker", true],
        ["qemu", true],
      ],
    );
  });

  it("takes the accelerator that is asked for, unproven", async () => {
    const vmms = make({ qemu: await program("qemu", "QEMU emulator version 7.2.22") });
    for (const accelerator of ["kvm", "tcg"] as const) {
      const { probe } = await vmms.choose(`qemu-${accelerator}`);
      assert.equal(probe.capabilities?.accelerator, accelerator);
    }
  });

  it("says where a jail will show all of the host's programs: ldd knows nothing of a script", async () => {
    const vmms = make({
      qemu: await program("qemu", "QEMU emulator version 8.0.0"),
      firecracker: await program("firecracker", "Firecracker v1.16.1"),
      trustFirecracker: true,
    });
    const [firecracker, qemu] = await vmms.probes();
    assert.match(qemu?.exposed ?? "", /ldd .*qemu/);
    // A file is where its trees would be.
    assert.match(firecracker?.exposed ?? "", /trees: not a directory/);
  });

  it("refuses versions that are too old, by name", async () => {
    const vmms = make({
      qemu: await program("qemu", "QEMU emulator version 6.2.0"),
      firecracker: await program("firecracker", "Firecracker v1.7.0"),
    });
    await assert.rejects(
      vmms.choose("qemu"),
      (error) => hasReason(error, "vmm-unusable") && /older than 7\.2/.test(String(error)),
    );
    await assert.rejects(vmms.choose("firecracker"), (error) => /older than 1\.8/.test(String(error)));
  });

  it("notices that a VMM was installed or replaced", async () => {
    const qemu = join(directory, "qemu");
    const vmms = make({ qemu });
    await assert.rejects(vmms.choose());
    await program("qemu", "QEMU emulator version 7.2.22");
    assert.equal((await vmms.choose()).probe.version, "7.2.22");
  });
});
