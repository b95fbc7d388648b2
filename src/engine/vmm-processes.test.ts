import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { findVmms, jailedVm, killVmms, runDirectoryIn } from "./vmm-processes.js";

const HASH = "0123456789abcdef";

describe("runDirectoryIn", () => {
  it("finds the directory in an option of a command line", () => {
    const cmdline = `qemu\0-chardev\0socket,path=/run/kiln/v/${HASH}/qmp.sock,server=on\0`;
    assert.equal(runDirectoryIn(cmdline, "/run/kiln"), `/run/kiln/v/${HASH}`);
  });

  for (const [what, cmdline] of [
    ["another root", `qemu\0/run/other/v/${HASH}/x\0`],
    ["the root alone", "ls\0/run/kiln/v/\0"],
    ["a name that is too long", `qemu\0/run/kiln/v/${HASH}0/x\0`],
    ["a name that is none", "tail\0/run/kiln/v/../../etc/passwd\0"],
  ] as const) {
    it(`finds none in ${what}`, () => assert.equal(runDirectoryIn(cmdline, "/run/kiln"), undefined));
  }
});

describe("jailedVm", () => {
  const id = "ab".repeat(32);

  it("finds the VM by the root that its jail gave the process", () => {
    assert.equal(jailedVm(`/data/vms/${id}/vmm/jail/firecracker/${id}/root`, "/data"), id);
  });

  it("finds none elsewhere", () => {
    for (const root of ["/", "/data", `/other/vms/${id}/x`, `/data/vms/${id}0/x`, "/data/vms/short/x"]) {
      assert.equal(jailedVm(root, "/data"), undefined, root);
    }
  });
});

describe("findVmms and killVmms", () => {
  it("find a process by its run directory, and end it and no other", async () => {
    const root = `/tmp/kiln-no-such-root-${process.pid}`;
    const sleeper = (path: string) => spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", path]);
    const [mine, other] = [sleeper(`${root}/v/${HASH}/sock`), sleeper(`${root}-other/v/${HASH}/sock`)];
    try {
      await Promise.all([once(mine, "spawn"), once(other, "spawn")]);
      const found = await findVmms(root, `${root}-data`);
      assert.deepEqual(
        found.map(({ process: { pid }, runDirectory }) => [pid, runDirectory]),
        [[mine.pid, `${root}/v/${HASH}`]],
      );
      const ended = once(mine, "exit");
      await killVmms(found);
      await ended;
      assert.deepEqual(await findVmms(root, `${root}-data`), []);
      assert.equal(other.exitCode ?? other.signalCode, null);
    } finally {
      mine.kill("SIGKILL");
      other.kill("SIGKILL");
    }
  });
});
