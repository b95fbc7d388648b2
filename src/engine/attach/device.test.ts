import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { NO_MOUNT } from "../../base/mounts.js";
import type { VmmCapabilities } from "../../vmm/types.js";
import { planDisks } from "../disks/disk-set.js";
import { mountOf } from "../vm/mount-config.js";
import { DeviceMount, requireDevice } from "./device.js";

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-device-"));
});
after(() => rm(directory, { recursive: true, force: true }));

const device = (source: string, target = "/data") =>
  new DeviceMount(mountOf({ ...NO_MOUNT, type: "device", source, target }));

function told(mount: DeviceMount) {
  const serials = new Map([[mount.mount.id, "s"]]);
  const disks = planDisks({ base: "", cow: "" });
  return mount.guest({ serials, disks, capabilities: {} as VmmCapabilities }).mounts?.[0]?.source;
}

describe("a block device of the host", () => {
  it("is mounted, or is a device of the guest where its target is one", () => {
    assert.deepEqual(told(device("/dev/sdb")), { kind: "disk", serial: "s", node: false });
    assert.deepEqual(told(device("/dev/sdb", "/dev/xvda")), { kind: "disk", serial: "s", node: true });
  });

  it("is refused where it is none, or not there, or a FIFO that nobody writes to", async () => {
    const file = join(directory, "file");
    await writeFile(file, "");
    execFileSync("mkfifo", [join(directory, "fifo")]);
    const refused = (source: string, reason: string) =>
      assert.rejects(device(source).acquire(), (error) => hasReason(error, reason), source);
    for (const source of [file, "/dev/null", join(directory, "fifo")])
      await refused(source, "not-a-block-device");
    await refused(join(directory, "none"), "no-such-file");
    const none = requireDevice(join(directory, "none"));
    await assert.rejects(none, (error) => hasReason(error, "no-such-file"));
    await assert.rejects(requireDevice(file), (error) => hasReason(error, "not-a-block-device"));
  });

  it("is one VM's, by whatever link it is named, until that lets go of it", async (t) => {
    const backing = join(directory, "disk");
    await writeFile(backing, "");
    await truncate(backing, 1024 ** 2);
    let name = "";
    try {
      name = execFileSync("losetup", ["--find", "--show", backing], { stdio: "pipe" }).toString().trim();
    } catch {
      return t.skip("no loop device can be made here");
    }
    t.after(() => void execFileSync("losetup", ["--detach", name]));
    const link = join(directory, "link");
    await symlink(name, link);
    const [first, second] = [device(link), device(name)];
    await first.acquire();
    assert.deepEqual(
      first.plan().disks?.map(({ path }) => path),
      [name],
    );
    await assert.rejects(second.acquire(), (error) => hasReason(error, "device-busy"));
    await first.release();
    await second.acquire();
    await second.release();
  });
});
