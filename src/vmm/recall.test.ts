// What is known of a VMM by its process alone.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { executed } from "../../test/fixtures/executed.js";
import { identifyProcess } from "../base/processes.js";
import { isInVmCgroup } from "./jail/cgroup-place.js";
import { planQemu } from "./qemu/config.js";
import { holdVmm, recallVmm } from "./recall.js";
import type { CardSpec, PortSpec, VmmRecord, VmmSpec } from "./types.js";

/** Of a process that looks like that VMM. */
async function recalled(
  t: TestContext,
  name: string,
  args: readonly string[],
  names: readonly string[] = [],
): Promise<VmmRecord | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "kiln-recall-"));
  const child = spawn("sh", ["-c", "read x", ...args], { argv0: name, stdio: ["pipe", "ignore", "ignore"] });
  t.after(async () => {
    child.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  });
  const pid = await executed(child);
  for (const one of names) await mkdir(join(directory, one));
  const id = await identifyProcess(pid);
  assert.ok(id !== undefined);
  return recallVmm(id, directory);
}

/** The words behind QEMU's own name. */
function commandOf(cards: readonly CardSpec[], ports: readonly PortSpec[] = []): readonly string[] {
  const spec: VmmSpec = {
    ...{ vmId: "ab".repeat(32), runDirectory: "/r", stateDirectory: "/s", kernel: "/k", initrd: "/i" },
    ...{ kernelArgs: [], vcpus: 1, memoryBytes: 256 * 1024 * 1024, disks: [], cards, ports },
  };
  const plan = planQemu(spec, { accelerator: "tcg", tscKhz: undefined });
  return plan.command("qemu", ({ at }) => at).slice(1);
}

describe("recallVmm", () => {
  it("knows of a QEMU whether its card is passt's, which has to be looked after", async (t) => {
    const qemu = "qemu-system-x86_64";
    const network = async (args: readonly string[]) => (await recalled(t, qemu, args))?.facts.userNetwork;
    const cards: CardSpec[] = [{ id: "eth0", mac: "02:00:00:00:00:01", backend: { kind: "stream" } }];
    assert.equal(await network(commandOf(cards)), "passt");
    assert.equal(await network(commandOf([])), undefined);
    // As earlier releases have started them.
    assert.equal(await network(["-netdev", "stream,id=net0,server=on"]), "passt");
    assert.equal(await network(["-netdev", "user,id=net0"]), undefined);
  });

  it("knows of a QEMU its ports by their names, and by nothing else on its line", async (t) => {
    const ports = async (args: readonly string[]) =>
      (await recalled(t, "qemu-system-x86_64", args))?.facts.ports;
    assert.equal(await ports(commandOf([], [{ id: "work" }, { id: "src2" }])), "work,src2");
    assert.equal(await ports(commandOf([])), undefined);
    assert.equal(
      await ports(["-append", "virtserialport,name=kiln.port.x init=virtserialport,name=kiln.port.y"]),
      undefined,
    );
  });

  it("knows of a Firecracker where its sockets are", async (t) => {
    assert.equal((await recalled(t, "firecracker", [], ["s"]))?.facts.sockets, "s");
    assert.match((await recalled(t, "firecracker", [], ["j"]))?.facts.jailLink ?? "", /\/j$/);
    const plain = (await recalled(t, "firecracker", []))?.facts;
    assert.deepEqual([plain?.sockets, plain?.jailLink], [undefined, undefined]);
  });

  it("knows a jail and a cgroup by where the process is", async (t) => {
    const facts = (await recalled(t, "qemu-system-x86_64", []))?.facts;
    assert.deepEqual([facts?.jail, facts?.cgroup], [undefined, undefined]);
    const name = `kiln-vm-${"a".repeat(32)}`;
    assert.ok(isInVmCgroup(`4:memory:/pod/${name}\n0::/\n`));
    assert.ok(isInVmCgroup(`0::/system.slice/kilnd.service/${name}\n`));
    assert.ok(!isInVmCgroup("0::/system.slice/kiln-vm-x/other\n"));
  });
});

describe("holdVmm", () => {
  it("tells the serials of the disks by the record, and none where that has none", async (t) => {
    const record = await recalled(t, "qemu-system-x86_64", []);
    assert.ok(record !== undefined);
    const facts = { ...record.facts, diskSerials: "base=base,cow=cow" };
    const consoleLog = join(tmpdir(), "kiln-recall-no-console.log");
    for (const [held, count] of [
      [{ ...record, facts }, 2],
      [record, 0],
    ] as const) {
      const handle = await holdVmm(held, consoleLog, "it does not answer");
      assert.equal(handle?.disks.size, count);
      await handle?.detach();
    }
  });
});
