import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import { hasReason, type KilnError } from "../base/errors.js";
import { deferred } from "../base/runtime.js";
import type { VmEntry } from "./vm/entry.js";
import type { VmConfig } from "./vm/vm-config.js";

const kilnd = engineCase();

async function running(config: Partial<VmConfig> = {}): Promise<VmEntry> {
  const entry = await kilnd.create(config);
  await kilnd.engine.vms.start(entry.id);
  return entry;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("files", () => {
  it("come out and go in as tar streams", async () => {
    const entry = await running();
    const chunks = await collect(kilnd.engine.vms.files.readArchive(entry.id, "/etc", false));
    assert.equal(Buffer.concat(chunks).toString(), "tar of /etc");
    const bytes = (async function* () {
      yield Buffer.from("12345");
    })();
    const written = await kilnd.engine.vms.files.writeArchive(
      entry.id,
      { directory: "/", keepOwner: false },
      bytes,
    );
    assert.equal(written.bytes, 5n);
    assert.equal((await kilnd.engine.vms.files.stat(entry.id, "/etc/passwd")).size, 5n);
  });

  it("say what the guest said", async () => {
    const entry = await running();
    await assert.rejects(collect(kilnd.engine.vms.files.readArchive(entry.id, "/none", false)), (error) =>
      hasReason(error, "guest-not-found"),
    );
    await assert.rejects(kilnd.engine.vms.files.stat(entry.id, "a\0b"), (error) =>
      hasReason(error, "bad-path"),
    );
  });
});

describe("ports of a running VM", () => {
  const port = (hostPort: number) => ({ hostIp: "", hostPort, vmPort: 80, protocol: "tcp" as const });

  it("are added at once and kept for the next start", async () => {
    const entry = await running();
    assert.equal((await kilnd.engine.vms.addPort(entry.id, port(0))).hostPort, 49_000);
    assert.deepEqual([...kilnd.world.ports], ["49000->80"]);
    await kilnd.engine.vms.restart(entry.id);
    assert.deepEqual([...kilnd.world.ports], ["49000->80"]);
    assert.equal(entry.status.ports.length, 1);
  });

  it("are removed, also from the record", async () => {
    const entry = await running({ publish: [port(8080)] });
    await kilnd.engine.vms.removePort(entry.id, port(8080));
    assert.equal(kilnd.world.ports.size, 0);
    assert.deepEqual(entry.record.program.ports, []);
    await assert.rejects(kilnd.engine.vms.removePort(entry.id, port(8080)), (error) =>
      hasReason(error, "port-not-published"),
    );
  });

  it("are refused when taken, and leave the others alone", async () => {
    kilnd.world.portsTaken.add(81);
    const entry = await running({ publish: [port(8080)] });
    await assert.rejects(kilnd.engine.vms.addPort(entry.id, port(81)), (error) =>
      hasReason(error, "port-in-use"),
    );
    await assert.rejects(kilnd.engine.vms.addPort(entry.id, { ...port(8080), hostIp: "0.0.0.0" }), (error) =>
      hasReason(error, "port-published"),
    );
    assert.deepEqual([...kilnd.world.ports], ["8080->80"]);
  });

  it("are refused with the VM that has them", async () => {
    const web = await running({ name: "web", publish: [port(8080)] });
    const names = (error: unknown) =>
      hasReason(error, "port-in-use") &&
      /VM web has it$/.test((error as KilnError).message) &&
      (error as KilnError).details.holders === `vm ${web.id}`;
    const entry = await running({ name: "other" });
    await assert.rejects(kilnd.engine.vms.addPort(entry.id, { ...port(8080), hostIp: "127.0.0.1" }), names);
    const third = await kilnd.create({ publish: [port(8080)] });
    await assert.rejects(kilnd.engine.vms.start(third.id), names);
  });
});

describe("stats", () => {
  it("give what the VMM takes and what the guest uses", async () => {
    const entry = await running();
    const [usages] = await collect(kilnd.engine.vms.stats([entry.name], true));
    assert.deepEqual(
      usages?.map(({ name, rssBytes, memoryBytes }) => [name, rssBytes, memoryBytes]),
      [[entry.name, 2, 40]],
    );
  });

  it("count what the VM was refused of the world outside, by all of its cards", async () => {
    kilnd.world.denied = 7;
    const entry = await running({ network: "user" });
    const [usages] = await collect(kilnd.engine.vms.stats([entry.name], true));
    assert.equal(usages?.[0]?.egressDenied, 7);
    assert.equal(await kilnd.engine.vms.denied(entry.name), 7);
    const stopped = await kilnd.create();
    assert.equal(await kilnd.engine.vms.denied(stopped.id), 0);
  });
});

describe("a guest that lies", () => {
  it("about its memory and counters is bounded", async () => {
    const most = 2n ** 64n - 1n;
    for (const [stats, memoryBytes] of [
      [{ memoryTotalBytes: 60n, memoryAvailableBytes: 100n }, 0],
      [{ memoryTotalBytes: most, memoryAvailableBytes: 0n }, 512 * 1024 ** 2],
    ] as const) {
      kilnd.world.behaviours = [{ stats: { ...stats, netRxBytes: most, processes: 2 ** 32 - 1 } }];
      const entry = await running();
      const [usages] = await collect(kilnd.engine.vms.stats([entry.name], true));
      assert.equal(usages?.[0]?.memoryBytes, memoryBytes);
      assert.equal(usages?.[0]?.guest?.netRxBytes, BigInt(Number.MAX_SAFE_INTEGER));
      assert.equal(usages?.[0]?.guest?.processes, 4_194_304);
    }
  });
});

describe("wait", () => {
  it("ends with the state asked for, and for a VM that goes", async () => {
    const gate = deferred<void>();
    kilnd.world.launchGate = gate.promise;
    const entry = await kilnd.create();
    const runs = kilnd.engine.reached(entry, "running");
    const gone = kilnd.engine.reached(entry, "removed");
    const starting = kilnd.engine.vms.start(entry.id);
    gate.resolve();
    await Promise.all([starting, runs]);
    await kilnd.engine.vms.remove(entry.id, true);
    await gone;
    assert.equal(entry.removed, true);
  });
});

describe("events", () => {
  it("tell a VM's life in order", async () => {
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { action } of kilnd.engine.events.read({ filters: ["type=vm"] })) {
        seen.push(action);
        if (action === "destroy") return;
      }
    })();
    await new Promise((resolve) => setImmediate(resolve));
    const entry = await running();
    await kilnd.engine.vms.pause(entry.id);
    await kilnd.engine.vms.unpause(entry.id);
    await kilnd.engine.vms.remove(entry.id, true);
    await reading;
    assert.deepEqual(seen, ["create", "start", "pause", "unpause", "die", "destroy"]);
  });
});
