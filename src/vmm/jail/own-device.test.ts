// Nodes of a VM's own: real jails around a device that only root may open.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { newId } from "../../base/ids.js";
import { Confiner } from "./confiner.js";
import { accessTo, planOwnDevices } from "./own-device.js";
import { hostTree } from "./tree.js";

const VM_USER = { uid: 1_900_050_001, gid: 1_900_050_001 };

describe("planOwnDevices", () => {
  const plan = { owner: 7, directory: "/run/vm/dev" };

  it("changes nothing where no device is closed", () => {
    assert.deepEqual(planOwnDevices(["vmm"], { ...plan, closed: [] }), ["vmm"]);
  });

  it("hides the host's node behind one of the owner's, and hands names over as words", () => {
    const closed = [{ path: "/dev/k v;m", major: 10, minor: 232 }];
    const argv = planOwnDevices(["vmm", "--flag"], { ...plan, closed });
    assert.deepEqual(argv.slice(0, 5), ["unshare", "--mount", "--propagation", "slave", "--"]);
    assert.deepEqual(argv.slice(-5), ["sh", "/run/vm/dev", "/dev/k v;m", "vmm", "--flag"]);
    assert.match(argv[7] ?? "", /mknod -m 600 "\$d"\/0 c 10 232 && chown 7 .* && mount --bind .* "\$2"/);
  });
});

describe("a device that only root may open", () => {
  let root = "";
  let device = "";
  let why = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-device-"));
    await chmod(root, 0o755);
    device = join(root, "node");
    try {
      // As /dev/null, which does no harm.
      execFileSync("mknod", ["-m", "600", device, "c", "1", "3"], { stdio: "pipe" });
      await writeFile(device, "");
    } catch (error) {
      why = `no device node can be made here: ${(error as Error).message}`;
    }
  });
  after(() => rm(root, { recursive: true, force: true }));

  const skipped = (t: TestContext) => {
    if (why !== "") t.skip(why);
    return why !== "";
  };

  it("is told from one that a group or everybody opens", async (t) => {
    if (skipped(t)) return;
    const closed = [{ path: device, major: 1, minor: 3 }];
    assert.deepEqual(await accessTo(device, VM_USER), { groups: [], closed });
    assert.deepEqual(await accessTo(device, undefined), { groups: [], closed: [] }, "a VMM of root's");
    await chown(device, 0, 108);
    assert.deepEqual(await accessTo(device, VM_USER), { groups: [], closed }, "its group may not");
    await chmod(device, 0o660);
    assert.deepEqual(await accessTo(device, VM_USER), { groups: [108], closed: [] });
    await chmod(device, 0o666);
    assert.deepEqual(await accessTo(device, VM_USER), { groups: [], closed: [] });
    await chown(device, 0, 0);
    await chmod(device, 0o600);
    assert.deepEqual(await accessTo("/nonexistent/kvm", VM_USER), { groups: [], closed: [] });
  });

  for (const confined of [true, false]) {
    it(`is the VM's user's ${confined ? "in its jail" : "without a jail"}, and root's for all others`, async (t) => {
      if (skipped(t)) return;
      const confiner = new Confiner(confined ? {} : { bwrap: "/nonexistent/bwrap", allowUnconfined: true });
      if (confined && !(await confiner.confinement()).jail.holds) return t.skip("no jail can be made here");
      const [out, runDirectory] = [join(root, `out-${confined}`), join(root, `run-${confined}`)];
      await writeFile(out, "");
      await chown(out, VM_USER.uid, VM_USER.gid);
      await mkdir(runDirectory);
      const file = { path: out, at: "/out", writable: true, what: "output" };
      const { process: vmm } = await confiner.launch({
        spec: {
          ...{ vmId: newId(), runDirectory, stateDirectory: root, kernel: "", initrd: "", kernelArgs: [] },
          ...{ vcpus: 1, memoryBytes: 64 * 1024 * 1024, disks: [], cards: [], ports: [], runAs: VM_USER },
        },
        ...{ driver: "qemu", program: "/usr/bin/sh", tree: hostTree, files: [file], listeners: [] },
        ...{ devices: ["/dev/null", device], access: await accessTo(device, VM_USER) },
        overheadBytes: 256 * 1024 * 1024,
        command: (at) => ["sh", "-c", `exec 9<>${device} && id -u > ${at(file)}`],
      });
      const end = await vmm.ended;
      assert.equal(end.code, 0, vmm.stderrTail());
      assert.equal((await readFile(out, "utf8")).trim(), String(VM_USER.uid));
      const { uid, mode } = await stat(device);
      assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
      assert.doesNotMatch(await readFile("/proc/self/mountinfo", "utf8"), new RegExp(runDirectory));
    });
  }
});
