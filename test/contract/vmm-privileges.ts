// A VMM has no right that it does not need, whoever started it.

import assert from "node:assert/strict";
import { chmod, chown, readFile, stat } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import type { CardSpec, VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";

const CARD: CardSpec = { id: "eth0", mac: "02:00:00:00:00:02", backend: { kind: "stream" } };
const USER = { uid: 54321, gid: 54321 };

export function privilegesContract(makeDriver: DriverFactory): void {
  const isRoot = process.getuid?.() === 0;

  describe("privileges", () => {
    let bench: VmmBench;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
    });
    after(() => bench[Symbol.asyncDispose]());

    it("are none at all in the process, and cannot be won back", async () => {
      const handle = await bench.launch();
      const status = await processStatus(handle);
      assert.equal(status.get("CapEff"), "0000000000000000");
      assert.equal(status.get("NoNewPrivs"), "1");
      await handle.kill();
    });

    it("are those of the VM's own user, where root gives it one", {
      skip: !isRoot && "not root",
    }, async () => {
      const spec = await specOfUser(bench);
      const handle = bench.adopt(await bench.newDriver().launch(spec));
      const status = await processStatus(handle);
      assert.deepEqual(status.get("Uid")?.split("\t"), Array(4).fill(String(USER.uid)));
      assert.deepEqual(status.get("Gid")?.split("\t"), Array(4).fill(String(USER.gid)));
      assert.doesNotMatch(status.get("Groups") ?? "", /\b0\b/);
      const shell = await shellOf(handle);
      await shell.output("echo written > /dev/vda && sync");
      for (const { mac } of spec.cards) {
        assert.equal(await shell.output("cat /sys/class/net/eth0/address"), mac);
        await shell.output(
          // passt answers for the gateway's address, but no ping to it.
          "ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0; ping -c 1 -W 5 10.0.2.2; grep '^10.0.2.2 .* 0x2 ' /proc/net/arp",
        );
      }
      await shell.close();
      await handle.detach();
      const again = bench.adopt(await bench.newDriver().reattach(handle.record, spec));
      assert.equal(await (await shellOf(again)).output("head -n 1 /dev/vda"), "written");
      await again.kill();
      assert.equal((await again.exited).cause, "killed");
      assert.equal((await stat(spec.disks[0]?.path ?? "")).uid, USER.uid);
    });
  });
}

/** A disk of the user's, in directories that are closed to it. */
async function specOfUser(bench: VmmBench): Promise<VmmSpec> {
  const disk = await bench.disk("cow", MIB, false);
  const { capabilities } = await bench.newDriver().probe();
  const cards = capabilities?.userNetwork === true ? [CARD] : [];
  const spec = await bench.spec({ runAs: USER, disks: [disk], cards });
  // Its disk and nothing else, and no way to anything by name.
  await chown(disk.path, USER.uid, USER.gid);
  for (const path of [bench.root, spec.runDirectory, spec.stateDirectory]) await chmod(path, 0o700);
  return spec;
}

async function processStatus(handle: VmmHandle): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(`/proc/${handle.record.process.pid}/status`, "utf8");
  return new Map(text.split("\n").map((line) => line.split(":\t") as [string, string]));
}
