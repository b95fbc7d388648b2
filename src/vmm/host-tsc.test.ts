import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hostTscKhz, parseKernelLog, parseNominal, parseVirtualCpu } from "./host-tsc.js";
import { rateKhz } from "./qemu/tsc-calibration.js";

describe("parseKernelLog", () => {
  it("prefers the refined rate", () => {
    const log =
      "tsc: Detected 2596.128 MHz processor\ntsc: Refined TSC clocksource calibration: 2595.124 MHz\n";
    assert.equal(parseKernelLog(log), 2_595_124);
  });

  it("takes the detected one where there is no other", () => {
    assert.equal(parseKernelLog("6,1,0,-;tsc: Detected 2596.128 MHz processor\n"), 2_596_128);
  });

  it("takes nothing that is no rate", () => {
    for (const log of ["", "tsc: Detected 0.000 MHz processor", "tsc: Marking TSC unstable"]) {
      assert.equal(parseKernelLog(log), undefined);
    }
  });
});

describe("parseVirtualCpu", () => {
  it("believes a virtual machine's processor", () => {
    assert.equal(parseVirtualCpu("cpu MHz\t\t: 2596.128\nflags\t\t: fpu hypervisor tsc\n"), 2_596_128);
  });

  it("does not believe a real one, whose frequency changes", () => {
    assert.equal(parseVirtualCpu("cpu MHz\t\t: 800.000\nflags\t\t: fpu tsc\n"), undefined);
  });
});

describe("parseNominal", () => {
  it("reads the rate in the processor's name", () => {
    assert.equal(parseNominal("model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\n"), 2_200_000);
    assert.equal(parseNominal("model name\t: AMD EPYC\n"), undefined);
  });
});

describe("rateKhz", () => {
  it("counts ticks per millisecond", () => {
    const first = { hostNs: 1_000n, counter: 5_000n, windowNs: 10n };
    const second = { hostNs: 500_001_000n, counter: 1_300_005_000n, windowNs: 10n };
    assert.equal(rateKhz(first, second), 2_600_000);
  });
});

describe("hostTscKhz", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "tsc-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("finds this host's rate and keeps it for the boot", async () => {
    const khz = await hostTscKhz(directory, async () => 2_000_000);
    assert.ok(khz !== undefined && khz > 100_000, `${khz}`);
    assert.deepEqual(await readdir(directory), ["host-tsc.json"]);
    const again = await hostTscKhz(directory, async () => assert.fail("measured again"));
    assert.equal(again, khz);
  });

  it("looks again after a reboot of the host, or where the file is damaged", async () => {
    for (const text of ['{"bootId":"another","khz":123456}', "damaged"]) {
      await writeFile(join(directory, "host-tsc.json"), text);
      assert.notEqual(await hostTscKhz(directory, async () => 2_000_000), 123_456);
    }
  });
});
