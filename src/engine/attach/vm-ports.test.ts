import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";
import type { PortBinding } from "../vm/vm-config.js";
import { portsOfRunning } from "./ports.js";

const port = (hostPort: number, vmPort = 80): PortBinding => ({
  ...{ hostIp: "0.0.0.0", hostPort, vmPort, protocol: "tcp" },
});

describe("the ports that a VM which runs is to have", () => {
  const portsOf = (kept: PortBinding[], bound: PortBinding[], recordFlaw?: string) =>
    portsOfRunning({ record: { program: { ports: kept } }, status: { ports: bound }, recordFlaw } as VmEntry);

  it("are those of its record, as they were bound where they were", () => {
    const range = { ...port(8000), hostPortEnd: 8010 };
    const bound = [port(8003), port(49_001), port(8080), port(49_000)];
    assert.deepEqual(portsOf([port(0), port(0), range, port(8080), port(9090)], bound), [
      port(8080),
      port(9090),
      port(8003),
      port(49_001),
      port(49_000),
    ]);
  });

  it("are none that were taken back, and each is one port's", () => {
    assert.deepEqual(portsOf([port(0)], [port(8080, 81), port(49_000)]), [port(49_000)]);
    assert.deepEqual(portsOf([port(0), port(8080)], [port(8080)]), [port(8080), port(0)]);
  });

  it("are those that were bound last where the record can't be believed", () => {
    assert.deepEqual(portsOf([], [port(8080)], "its record is lost"), [port(8080)]);
  });
});

describe("a port of a VM that is taken over", () => {
  const kilnd = engineCase();

  /** The next kilnd's VM. @param status what the last one has left of its status */
  async function next({ id }: VmEntry, status: object = {}): Promise<VmEntry> {
    await kilnd.engine.close();
    kilnd.world.ports.clear();
    const path = join(kilnd.world.root, "data/vms", id, "status.json");
    const text = JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...status });
    for (const file of [path, `${path}.bak`]) await writeFile(file, text);
    await kilnd.start();
    return kilnd.engine.entry(id);
  }

  it("that somebody else has is the VM's again once it can be had: by the next kilnd, or when it is asked for", async () => {
    const { entry } = await kilnd.running({ publish: [port(8080), port(9090)] });
    kilnd.world.portsTaken.add(8080).add(9090);
    const without = await next(entry);
    assert.deepEqual([[...kilnd.world.ports], without.status.ports], [[], []]);
    kilnd.world.portsTaken.clear();
    await kilnd.engine.vms.addPort(entry.id, port(9090));
    assert.deepEqual([...kilnd.world.ports], ["9090->80"]);
    const with8080 = await next(entry);
    assert.deepEqual([...kilnd.world.ports], ["8080->80", "9090->80"]);
    assert.equal(with8080.record.program.ports.length, 2);
    await assert.rejects(kilnd.engine.vms.addPort(entry.id, port(8080)), (error) =>
      hasReason(error, "port-published"),
    );
  });

  it("is published where its kilnd was killed between the record and the status, or lost the status", async () => {
    const { entry } = await kilnd.running();
    await kilnd.engine.vms.addPort(entry.id, port(8080));
    await next(entry, { ports: [] });
    assert.deepEqual([...kilnd.world.ports], ["8080->80"]);
  });

  it("does not come back that was taken back", async () => {
    const { entry } = await kilnd.running({ publish: [port(8080)] });
    await kilnd.engine.vms.removePort(entry.id, port(8080));
    await next(entry, { ports: [port(8080)] });
    assert.deepEqual([...kilnd.world.ports], []);
  });
});
