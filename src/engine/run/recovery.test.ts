import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { worldCase } from "../../../test/fixtures/engine-case.js";
import { configOf, type FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { Phase } from "../../gen/kiln/agent/v1/machine_pb.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmState } from "../vm/state.js";
import type { VmConfig } from "../vm/vm-config.js";

// An engine that is dropped without `close` is a kilnd that was killed: its VMMs go on, it writes no more.
const kilnd = worldCase();

/** The next kilnd's view of the only VM. */
async function restarted(before: OpenEngine): Promise<{ engine: OpenEngine; entry: VmEntry }> {
  await before.close();
  const engine = await kilnd.start();
  const [entry] = engine.entries(true);
  assert.ok(entry);
  return { engine, entry };
}

async function running(
  config: Partial<VmConfig> = {},
): Promise<{ engine: OpenEngine; entry: VmEntry; vmm: FakeVmm }> {
  const engine = await kilnd.start();
  return { engine, ...(await kilnd.running(config)) };
}

async function editStatus(entry: VmEntry, change: Record<string, unknown>): Promise<void> {
  const path = join(kilnd.world.root, "data/vms", entry.id, "status.json");
  const status: Record<string, unknown> = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, JSON.stringify({ ...status, ...change }));
}

async function textOf(entry: VmEntry): Promise<string> {
  let text = "";
  for await (const { data } of entry.log.read()) text += Buffer.from(data).toString();
  return text;
}

const reaches = (entry: VmEntry, state: VmState) =>
  until(entry.changed, () => (entry.state === state ? true : undefined));

describe("a new kilnd", () => {
  it("takes a running VM over: output without gap or repeat, ports, exit", async () => {
    const port = { hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" as const };
    const { engine, vmm } = await running({ publish: [port] });
    vmm.guest.print("one\n");
    await until(vmmAcknowledged(vmm), () => (vmm.guest.acknowledged === 4n ? true : undefined));
    await engine.close();
    kilnd.world.ports.clear();
    vmm.guest.print("two\n");
    const next = await restarted(engine);
    assert.equal(next.entry.state, "running");
    assert.deepEqual([...kilnd.world.ports], ["8080->80"]);
    vmm.guest.print("three\n");
    vmm.guest.exit(5);
    await next.engine.reached(next.entry, "exited");
    assert.equal(next.entry.status.exitCode, 5);
    assert.equal(await textOf(next.entry), "one\ntwo\nthree\n");
    assert.equal(kilnd.world.vmms.length, 1);
  });

  it("learns how a program ended while nobody was there", async () => {
    const { engine, vmm } = await running();
    await engine.close();
    vmm.guest.print("bye\n");
    vmm.guest.exit(4);
    const next = await restarted(engine);
    await next.engine.reached(next.entry, "exited");
    assert.deepEqual([next.entry.status.exitCode, next.entry.status.reason], [4, "program-exited"]);
    assert.equal(await textOf(next.entry), "bye\n");
  });

  it("finishes an end that was stored but not acknowledged", async () => {
    const { engine, entry, vmm } = await running();
    await engine.close();
    const exit = {
      code: 9,
      error: "",
      oomKilled: false,
      request: "none",
      finishedAt: "2026-01-01T00:00:00.000Z",
    };
    await editStatus(entry, { exit });
    vmm.end("guest-shutdown");
    const next = await restarted(engine);
    assert.deepEqual([next.entry.state, next.entry.status.exitCode], ["exited", 9]);
  });

  it("says failed of a VM whose VMM died meanwhile, and removes its run directory", async () => {
    const { engine, vmm } = await running();
    await engine.close();
    vmm.end("crashed");
    const { entry } = await restarted(engine);
    assert.deepEqual([entry.state, entry.status.reason], ["failed", "vmm-died"]);
    assert.deepEqual(await readdir(join(kilnd.world.root, "run/v")), []);
  });

  it("removes a --rm VM that ended meanwhile", async () => {
    const { engine, vmm } = await running({ autoRemove: true });
    await engine.close();
    vmm.end("crashed");
    const next = await kilnd.start();
    for (const entry of next.entries(true)) await next.reached(entry, "removed");
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), []);
  });

  it("keeps a paused VM paused and can let it go on", async () => {
    const { engine, entry, vmm } = await running();
    await engine.vms.pause(entry.id);
    const next = await restarted(engine);
    assert.equal(next.entry.state, "paused");
    await next.engine.vms.unpause(next.entry.id);
    vmm.guest.exit(0);
    await next.engine.reached(next.entry, "exited");
    assert.equal(next.entry.status.reason, "program-exited");
  });

  it("finishes a boot that was cut between the VMM's start and the program's", async () => {
    const { engine, entry, vmm } = await running();
    await engine.close();
    vmm.guest.phase = Phase.WAITING;
    await editStatus(entry, { state: "starting", startedAt: undefined });
    const next = await restarted(engine);
    await reaches(next.entry, "running");
    assert.equal(kilnd.world.vmms.length, 1);
    assert.equal(vmm.guest.phase, Phase.RUNNING);
  });

  it("says failed of a start that was cut before its VMM was known", async () => {
    const { engine, entry, vmm } = await running();
    await engine.close();
    vmm.end("killed");
    await editStatus(entry, { state: "starting", vmm: undefined });
    const next = await restarted(engine);
    assert.deepEqual([next.entry.state, next.entry.status.reason], ["failed", "start-interrupted"]);
  });

  it("removes what a create or a removal left half done", async () => {
    const engine = await kilnd.start();
    for (const name of [".creating-1", ".removing-2"]) {
      await mkdir(join(kilnd.world.root, "data/vms", name));
      await writeFile(join(kilnd.world.root, "data/vms", name, "cow"), "x");
    }
    await mkdir(join(kilnd.world.root, "data/bases/.building-3"));
    await engine.close();
    await kilnd.start();
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), []);
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/bases")), []);
  });

  it("says so of a VM whose record is lost, and goes on with the others", async () => {
    const engine = await kilnd.start();
    const bad = await engine.make({ config: configOf({ name: "bad" }), pull: "missing" });
    await engine.make({ config: configOf({ name: "good" }), pull: "missing" });
    await engine.close();
    for (const file of ["vm.json", "vm.json.bak"])
      await writeFile(join(kilnd.world.root, "data/vms", bad.id, file), "{ torn");
    const next = await kilnd.start();
    const names = next.entries(true).map((entry) => entry.name);
    assert.deepEqual(names.sort(), ["good", `vm-${bad.id.slice(0, 12)}`]);
    const { warnings } = await next.system.info();
    assert.ok(warnings.some((warning) => warning.includes(bad.id.slice(0, 12))));
  });

  it("stops a VM although it is still being taken over", async () => {
    const { engine } = await running();
    await engine.close();
    const next = await kilnd.open();
    const [entry] = next.entries(true);
    assert.ok(entry);
    await next.vms.stop(entry.id);
    assert.deepEqual([entry.state, kilnd.world.vmms[0]?.alive], ["exited", false]);
  });

  it("kills a VM although it is still being taken over", async () => {
    const { engine } = await running();
    await engine.close();
    const next = await kilnd.open();
    const [entry] = next.entries(true);
    assert.ok(entry);
    await next.vms.kill(entry.id);
    assert.deepEqual([entry.state, entry.status.reason], ["exited", "killed"]);
  });

  it("never continues an old boot's output with a new one's", async () => {
    const { engine, entry, vmm } = await running();
    vmm.guest.print("first boot\n");
    vmm.guest.exit(0);
    await engine.reached(entry, "exited");
    await engine.close();
    for (const file of ["status.json", "status.json.bak"])
      await writeFile(join(kilnd.world.root, "data/vms", entry.id, file), "");
    const next = await restarted(engine);
    await next.engine.vms.start(next.entry.id);
    kilnd.world.vmms.at(-1)?.guest.print("second\n");
    kilnd.world.vmms.at(-1)?.guest.exit(0);
    await next.engine.reached(next.entry, "exited");
    assert.equal(await textOf(next.entry), "first boot\nsecond\n");
  });

  it("keeps bases that are whole and names taken", async () => {
    const engine = await kilnd.start();
    await engine.make({ config: configOf({ name: "urn" }), pull: "missing" });
    await engine.close();
    const next = await kilnd.start();
    await assert.rejects(next.make({ config: configOf({ name: "urn" }), pull: "missing" }), {
      reason: "name-in-use",
    });
    await next.make({ config: configOf({ name: "other" }), pull: "missing" });
    assert.equal(kilnd.world.bases.length, 1);
  });
});

describe("a new kilnd and restart policies", () => {
  const policy = (name: VmConfig["restart"]["name"]) => ({ restart: { name, maximumRetryCount: 0 } });

  it("brings back what should run and whose VMM is gone", async () => {
    const { engine, vmm } = await running(policy("unless-stopped"));
    await engine.close();
    vmm.end("crashed");
    const { entry } = await restarted(engine);
    await reaches(entry, "running");
    assert.equal(kilnd.world.vmms.length, 2);
  });

  it("leaves an unless-stopped VM alone that the user had stopped", async () => {
    const { engine, entry } = await running(policy("unless-stopped"));
    await engine.vms.stop(entry.id);
    const next = await restarted(engine);
    assert.equal(next.entry.state, "exited");
    assert.equal(next.entry.status.restartAt, undefined);
  });

  it("brings an always VM up although the user had stopped it", async () => {
    const { engine, entry } = await running(policy("always"));
    await engine.vms.stop(entry.id);
    const next = await restarted(engine);
    await reaches(next.entry, "running");
  });

  it("does a restart that was due", async () => {
    const { engine, entry, vmm } = await running(policy("on-failure"));
    vmm.guest.exit(1);
    await engine.reached(entry, "exited");
    const next = await restarted(engine);
    await reaches(next.entry, "running");
    assert.equal(next.entry.status.restartCount, 1);
  });
});

/** The fake guest tells nobody of acknowledgements: the log's own notifier stands in, asked at every tick. */
function vmmAcknowledged(vmm: FakeVmm) {
  return { next: () => new Promise<void>((resolve) => setImmediate(resolve)), vmm } as never;
}
