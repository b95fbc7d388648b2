// The end of a VM, and who is told what about it.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isAlive } from "../../src/base/processes.js";
import type { VmmExit, VmmHandle } from "../../src/vmm/index.js";
import { type DriverFactory, shellOf, VmmBench } from "./vmm-bench.js";

export function endContract(makeDriver: DriverFactory): void {
  describe("end", () => {
    let bench: VmmBench;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
    });
    after(() => bench[Symbol.asyncDispose]());

    async function endAfter(command: string): Promise<{ handle: VmmHandle; exit: VmmExit }> {
      const handle = await bench.launch();
      (await shellOf(handle)).tell(command);
      return { handle, exit: await handle.exited };
    }

    it("tells a reboot", async () => {
      const { handle, exit } = await endAfter("reboot -f");
      assert.equal(exit.cause, "guest-reset");
      assert.equal(await isAlive(handle.record.process), false);
    });

    it("tells a poweroff, where the machine has one", async () => {
      const handle = await bench.launch();
      (await shellOf(handle)).tell("poweroff -f");
      if (handle.record.capabilities.poweroffExits) {
        assert.equal((await handle.exited).cause, "guest-shutdown");
      } else {
        // The guest has stopped and the process lives on: only a kill ends it.
        await handle.kill();
        assert.equal((await handle.exited).cause, "killed");
      }
    });

    it("tells a panic, where the machine tells it from a reboot", async () => {
      const { handle, exit } = await endAfter("echo c > /proc/sysrq-trigger");
      assert.equal(exit.cause, handle.record.capabilities.tellsReboot ? "guest-panic" : "guest-reset");
      assert.match(await handle.consoleTail(), /Kernel panic|sysrq/);
    });

    it("is killed at once, even while the guest boots", async () => {
      const handle = await bench.launch();
      await Promise.all([handle.kill(), handle.kill()]);
      assert.equal((await handle.exited).cause, "killed");
      assert.equal(await isAlive(handle.record.process), false);
      await handle.kill();
    });

    it("is killed while paused", async () => {
      const handle = await bench.launch();
      await handle.pause();
      await handle.kill();
      assert.equal((await handle.exited).cause, "killed");
    });

    it("is killed while it does not answer", async () => {
      const handle = await bench.launch();
      process.kill(handle.record.process.pid, "SIGSTOP");
      await handle.kill();
      assert.equal((await handle.exited).cause, "killed");
    });

    it("is a crash when something else ends the process", async () => {
      const handle = await bench.launch();
      process.kill(handle.record.process.pid, "SIGKILL");
      const exit = await handle.exited;
      assert.equal(exit.cause, "crashed");
      assert.match(exit.detail, /SIGKILL/);
    });
  });
}
