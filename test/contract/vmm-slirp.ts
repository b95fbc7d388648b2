// What connects a VMM's tap: it outlives kilnd, and the next kilnd starts it where there is none.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { delay } from "../../src/base/runtime.js";
import type { CardSpec, VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import { type DriverFactory, pidsNaming, processesNaming, shellOf, VmmBench } from "./vmm-bench.js";

const CARD: CardSpec = { id: "eth0", mac: "02:00:00:00:00:01", backend: { kind: "stream" } };
/** Down and up again: what it knows of its neighbours is forgotten. */
const ASK_GATEWAY = [
  "ip link set eth0 down; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0 2>/dev/null",
  "ping -c 1 -W 5 10.0.2.2; grep '^10.0.2.2 .* 0x2 ' /proc/net/arp",
].join("; ");

export function slirpContract(makeDriver: DriverFactory): void {
  describe("a tap's network", () => {
    let bench: VmmBench;
    let isThere = true;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      isThere = (await bench.newDriver().probe()).capabilities?.userNetwork === true;
    });
    after(() => bench[Symbol.asyncDispose]());

    async function again(handle: VmmHandle, spec: VmmSpec): Promise<VmmHandle> {
      await handle.detach();
      return bench.adopt(await bench.newDriver().reattach(JSON.parse(JSON.stringify(handle.record)), spec));
    }

    it("is found by the next kilnd, and started anew by the one after where it has died", async (t) => {
      if (!isThere) return t.skip("no rootless network for taps on this host");
      const spec = await bench.spec({ cards: [CARD] });
      const first = bench.adopt(await bench.newDriver().launch(spec));
      const path = `/proc/${first.record.process.pid}/ns/net`;
      const helpers = () => processesNaming(path);
      const started = await helpers();
      assert.equal(started.length, 1);
      const second = await again(first, spec);
      assert.deepEqual(await helpers(), started);
      for (const pid of await pidsNaming(path)) process.kill(pid, "SIGKILL");
      while ((await helpers()).length > 0) await delay(5);
      const third = await again(second, spec);
      assert.deepEqual(await helpers(), started);
      await (await shellOf(third)).output(ASK_GATEWAY);
      await third.kill();
      while ((await helpers()).length > 0) await delay(5);
    });

    it("is nothing that anybody waits for when the VMM does not start", async (t) => {
      if (!isThere) return t.skip("no rootless network for taps on this host");
      const kernel = join(bench.root, "no-kernel");
      await writeFile(kernel, "no kernel");
      await assert.rejects(bench.launch({ kernel, cards: [CARD] }), /Firecracker ended at once/);
    });
  });
}
