import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import { NO_MOUNT } from "../../base/mounts.js";
import type { TmpfsMount } from "../../gen/kiln/agent/v1/mount_pb.js";
import { mountOf } from "../vm/mount-config.js";
import { VmView } from "../vm/view.js";

const kilnd = engineCase();
const TMPFS = mountOf({
  ...NO_MOUNT,
  type: "tmpfs",
  target: "/t",
  sizeBytes: 4096,
  mode: 0o750,
  noExec: true,
});
const LIMITS = { ulimits: [{ name: "nofile", soft: 5, hard: -1 }], sysctls: { "net.core.somaxconn": "5" } };

describe("what a VM is given of mounts and limits", () => {
  it("is told to its guest at boot", async () => {
    kilnd.world.behaviours = [{ features: ["workloads", "disk-serial", "mounts"] }];
    const settings = { ...LIMITS, readOnlyRoot: true, shmBytes: 8192 };
    const { entry, vmm } = await kilnd.running({ mounts: [TMPFS], ...settings });
    const boot = vmm.guest.boot;
    const [mount] = boot?.mounts ?? [];
    assert.deepEqual([mount?.target, mount?.source.case, boot?.mounts.length], ["/t", "tmpfs", 1]);
    const { sizeBytes, mode, noExec } = (mount?.source.value ?? {}) as Partial<TmpfsMount>;
    assert.deepEqual([sizeBytes, mode, noExec], [4096n, 0o750, true]);
    assert.deepEqual([boot?.readOnlyRoot, boot?.shmBytes, boot?.sysctls], [true, 8192n, settings.sysctls]);
    assert.deepEqual(
      boot?.process?.rlimits.map(({ name, soft, hard }) => [name, soft, hard]),
      [["nofile", 5n, 2n ** 64n - 1n]],
    );
    const shown = () => new VmView(entry).mounts.map(({ mount, state }) => [mount.target, state]);
    assert.deepEqual(shown(), [["/t", "attached"]]);
    await kilnd.engine.vms.kill(entry.id);
    assert.deepEqual(shown(), [["/t", "detached"]]);
  });

  it("is refused where the agent would leave it out, and limits that every agent knows are not", async () => {
    kilnd.world.behaviours = [{ features: ["workloads"] }];
    const { vmm } = await kilnd.running(LIMITS);
    assert.equal(vmm.guest.boot?.process?.rlimits.length, 1);
    for (const config of [{ mounts: [TMPFS] }, { readOnlyRoot: true }, { shmBytes: 8192 }]) {
      const entry = await kilnd.create(config);
      await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "agent-too-old"));
    }
  });

  it("is refused at the start of a VM of a newer kiln that has what this one has not", async () => {
    const entry = await kilnd.create({ mounts: [TMPFS] });
    const { record } = entry;
    const nfs = { ...TMPFS, type: "nfs" };
    await entry.setRecord({ ...record, config: { ...record.config, mounts: [nfs] } });
    const start = kilnd.engine.vms.start(entry.id);
    await assert.rejects(start, (error) => hasReason(error, "mount-not-supported"));
  });
});
