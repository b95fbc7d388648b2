// A VM outlives the kilnd that started it.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import { isAlive } from "../../src/base/processes.js";
import type { VmmHandle, VmmRecord, VmmSpec } from "../../src/vmm/index.js";
import { assertOpenFiles, type DriverFactory, openFiles, shellOf, VmmBench } from "./vmm-bench.js";

export function reattachContract(makeDriver: DriverFactory): void {
  describe("reattach", () => {
    let bench: VmmBench;
    let spec: VmmSpec;
    let record: VmmRecord;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      spec = await bench.spec();
      const handle = bench.adopt(await bench.newDriver().launch(spec));
      const shell = await shellOf(handle);
      await shell.output("echo kept > /tmp/state");
      await handle.detach();
      record = JSON.parse(JSON.stringify(handle.record));
    });
    after(() => bench[Symbol.asyncDispose]());

    async function again(): Promise<VmmHandle> {
      return bench.adopt(await bench.newDriver().reattach(record, spec));
    }

    it("finds the same guest again, by a record that went through JSON", async () => {
      const handle = await again();
      const shell = await shellOf(handle);
      assert.equal(await shell.output("cat /tmp/state"), "kept");
      await handle.firstOutput;
      assert.match(await handle.consoleTail(), /test guest is up/);
      await handle.detach();
    });

    it("lets go of every file when it detaches", async () => {
      const before = await openFiles();
      for (let turn = 0; turn < 5; turn++) await (await again()).detach();
      await assertOpenFiles(before);
    });

    it("controls it: pause, resume, statistics", async () => {
      const handle = await again();
      await handle.pause();
      await handle.detach();
      const later = await again();
      await later.resume();
      assert.ok((await later.stats()).cpuMs > 0);
      const shell = await shellOf(later);
      assert.equal(await shell.output("echo awake"), "awake");
      await later.detach();
    });

    it("sees the end of a process that is not its child", async () => {
      const handle = await again();
      process.kill(record.process.pid, "SIGKILL");
      assert.equal((await handle.exited).cause, "crashed");
      assert.equal(await isAlive(record.process), false);
    });

    it("says so when the VM has ended meanwhile", async () => {
      await assert.rejects(again(), (error) => hasReason(error, "vmm-gone"));
    });

    it("kills a VM of an earlier kilnd", async () => {
      const fresh = await bench.spec();
      const first = bench.adopt(await bench.newDriver().launch(fresh));
      await first.detach();
      const handle = bench.adopt(await bench.newDriver().reattach(first.record, fresh));
      await handle.kill();
      assert.equal((await handle.exited).cause, "killed");
    });
  });
}
