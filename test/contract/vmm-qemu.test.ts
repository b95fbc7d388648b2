// The VMM contract on QEMU with a real guest, and what only QEMU does.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, open, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { deferred } from "../../src/base/runtime.js";
import { UserNetworks } from "../../src/net/index.js";
import { type CardKind, createQemuDriver } from "../../src/vmm/index.js";
import { netguardPath, passtPath, sendfdPath } from "../fixtures/assets.js";
import { connectedDriver } from "../fixtures/connected-driver.js";
import { vmmContract } from "./vmm.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";
import { passtContract } from "./vmm-passt.js";

const makeDriver: DriverFactory = (cacheDirectory, netguard = netguardPath(), confinement = {}) => {
  const networks = new UserNetworks({ netguard, passt: passtPath() });
  const userNetwork = (kind: CardKind) => networks.look(kind);
  const driver = createQemuDriver({ ...confinement, cacheDirectory, userNetwork, sendfd: sendfdPath() });
  return connectedDriver(driver, networks);
};

vmmContract("qemu", makeDriver);

describe("qemu's user network", () => passtContract(makeDriver));

describe("qemu on a host whose disk is full", () => {
  it("stops the guest instead of failing its writes, and goes on once there is room", async (t) => {
    await using small = await smallFileSystem(t);
    if (small === undefined) return;
    // Declared last: its VMMs must have ended before the file system that they write to goes.
    await using bench = await VmmBench.open(makeDriver);
    const ballast = join(small.directory, "ballast");
    await writeFile(ballast, Buffer.alloc(4 * MIB));
    const path = join(small.directory, "cow");
    const file = await open(path, "wx");
    await file.truncate(64 * MIB);
    await file.close();
    const handle = await bench.launch({ disks: [{ id: "cow", path, readOnly: false }] });
    const [full, free] = [deferred<string>(), deferred<void>()];
    handle.onStall((why) => (why === undefined ? free.resolve() : full.resolve(why)));
    const shell = await shellOf(handle);
    const write = shell.post("dd if=/dev/urandom of=/dev/vda bs=1M count=7 conv=fsync");
    assert.match(await full.promise, /the host's disk is full.*cow/);
    await rm(ballast);
    assert.equal((await write).status, 0);
    await free.promise;
  });
});

/** A file system of 8 MiB; undefined, with the reason told, where this user may not mount one. */
async function smallFileSystem(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), "kv-small-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "none", directory], { stdio: "pipe" });
  } catch (error) {
    await rmdir(directory);
    t.skip(`no small file system can be mounted here: ${(error as Error).message.split("\n")[1] ?? ""}`);
    return undefined;
  }
  const release = async () => {
    execFileSync("umount", [directory]);
    await rmdir(directory);
  };
  return { directory, [Symbol.asyncDispose]: release };
}
