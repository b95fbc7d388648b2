// The guest's console: kept, bounded, and never in the guest's way.

import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { readProcStat } from "../../src/base/processes.js";
import { delay } from "../../src/base/runtime.js";
import type { VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import type { GuestShell } from "../fixtures/vmm-guest.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";

export function consoleContract(makeDriver: DriverFactory): void {
  describe("console", () => {
    let bench: VmmBench;
    let spec: VmmSpec;
    let handle: VmmHandle;
    let shell: GuestShell;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      spec = await bench.spec();
      handle = bench.adopt(await bench.newDriver().launch(spec));
      await handle.firstOutput;
      shell = await shellOf(handle);
    });
    after(() => bench[Symbol.asyncDispose]());

    it("keeps what the guest wrote from its first byte on", async () => {
      assert.match(await handle.consoleTail(), /test guest is up/);
    });

    it("shows the last words without control characters", async () => {
      await shell.output("printf 'plain \\033[31mred\\033[0m \\007bell' > /dev/ttyS0; sync");
      await lastWords(handle, /plain red bell$/);
    });

    it("is bounded, and a guest that floods it goes on", async () => {
      const line = "x".repeat(99);
      await shell.output(`yes ${line} | head -c ${3 * MIB} > /dev/ttyS0`);
      // Firecracker drops what its reader is too slow for, and that may be the end.
      await lastWords(handle, /the end\s*$/, () => shell.output("echo the end > /dev/ttyS0"));
      const sizes = [(await stat(handle.consoleLog)).size, (await stat(`${handle.consoleLog}.1`)).size];
      assert.ok(Math.max(...sizes) <= MIB, `sizes ${sizes}`);
      assert.ok((await handle.consoleTail(4000)).length > 3000, "the tail reaches back over the rotation");
    });

    it("does not stop a guest whose kilnd has gone", async () => {
      // A port that nobody reads holds the kernel's buffer of 4 KiB and then blocks: two turns of this loop.
      const loop =
        "while :; do printf %2000s x > /dev/ttyS0; n=$((n+1)); echo $n > /tmp/m; mv /tmp/m /tmp/n; done";
      await shell.output(`(n=0; ${loop}) > /dev/null 2>&1 &`);
      const turns = Number(await shell.output("until cat /tmp/n; do :; done 2> /dev/null"));
      await shell.close();
      await handle.detach();
      const away = await cpuTicks(handle);
      // Some times what ten turns take, whatever else has the processor's caches.
      while ((await cpuTicks(handle)) < away + 400) await delay(50);
      const again = bench.adopt(await bench.newDriver().reattach(handle.record, spec));
      const later = Number(await (await shellOf(again)).output("cat /tmp/n"));
      assert.ok(later > turns + 10, `${later - turns} turns while nobody read the console`);
    });
  });
}

async function cpuTicks(handle: VmmHandle): Promise<number> {
  return (await readProcStat(handle.record.process.pid))?.cpuTicks ?? Number.NaN;
}

/**
 * The console is behind the channel by what the serial port has yet to send.
 *
 * @param say asks the guest for the words, again and again; absent: they were said
 */
async function lastWords(handle: VmmHandle, pattern: RegExp, say?: () => Promise<unknown>): Promise<void> {
  for (;;) {
    await say?.();
    if (pattern.test(await handle.consoleTail())) return;
    await delay(20);
  }
}
