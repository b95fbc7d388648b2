import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { configOf } from "../../../test/fixtures/fake-rooms.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { RestartPolicy } from "../vm/vm-config.js";

const kilnd = engineCase();

async function running(name: RestartPolicy["name"], maximumRetryCount = 0): Promise<VmEntry> {
  const config = configOf({ restart: { name, maximumRetryCount } });
  const entry = await kilnd.engine.make({ config, pull: "missing" });
  await kilnd.engine.vms.start(entry.id);
  return entry;
}

const boots = (entry: VmEntry, count: number) =>
  until(entry.changed, () =>
    kilnd.world.vmms.length === count && entry.state === "running" ? true : undefined,
  );

describe("restart policies", () => {
  it("bring a failed VM back, also one whose VMM was killed, and count", async () => {
    const entry = await running("on-failure");
    kilnd.world.vmms[0]?.guest.exit(1);
    await boots(entry, 2);
    kilnd.world.vmms[1]?.end("crashed");
    await boots(entry, 3);
    assert.equal(entry.status.restartCount, 2);
  });

  it("leave a VM alone that ended well under on-failure", async () => {
    const entry = await running("on-failure");
    kilnd.world.vmms[0]?.guest.exit(0);
    await kilnd.engine.reached(entry, "exited");
    assert.equal(entry.status.restartAt, undefined);
  });

  it("end after the number of tries", async () => {
    kilnd.world.behaviours = [{ exitsWith: 1 }];
    const entry = await running("on-failure", 2);
    const over = () => entry.status.restartCount === 2 && entry.state === "exited" && !entry.status.restartAt;
    await until(entry.changed, () => over() || undefined);
    assert.equal(kilnd.world.vmms.length, 3);
  });

  it("bring a VM back when it is due, though the clock was set back while no kilnd ran", async () => {
    const entry = await running("on-failure");
    await kilnd.engine.vms.stop(entry.id);
    const restartAt = new Date(Date.now() + 3_600_000).toISOString();
    await entry.note({ stoppedByUser: false, restartAt, restartDelayMs: 5 });
    await kilnd.engine.close();
    await kilnd.start();
    await boots(kilnd.engine.entry(entry.id), 2);
    assert.equal(kilnd.engine.entry(entry.id).status.restartCount, 1);
  });

  it("back off longer each time", async () => {
    kilnd.world.behaviours = [{ exitsWith: 1 }];
    const entry = await running("always");
    await until(entry.changed, () => entry.status.restartDelayMs === 200 || undefined);
    assert.equal(entry.status.restartDelayMs, 200);
  });

  it("do not bring back what the user stops while it waits for its restart", async () => {
    kilnd.world.behaviours = [{ exitsWith: 1 }];
    const entry = await running("always");
    await until(entry.changed, () => entry.status.restartAt !== undefined || undefined);
    await kilnd.engine.vms.stop(entry.id);
    assert.equal(entry.state, "exited");
    assert.equal(entry.status.restartAt, undefined);
    assert.equal(entry.status.stoppedByUser, true);
  });

  it("try again when a restart itself fails", async () => {
    const entry = await running("always");
    kilnd.world.behaviours = [{ bootError: "no" }, {}];
    kilnd.world.vmms[0]?.guest.exit(1);
    await boots(entry, 3);
    assert.equal(entry.state, "running");
  });

  it("begin anew when the user starts the VM", async () => {
    const entry = await running("on-failure", 1);
    kilnd.world.vmms[0]?.guest.exit(1);
    await boots(entry, 2);
    kilnd.world.vmms[1]?.guest.exit(1);
    await until(entry.changed, () => (entry.state === "exited" && !entry.status.restartAt) || undefined);
    await kilnd.engine.vms.start(entry.id);
    assert.equal(entry.status.restartCount, 0);
  });
});
