// The VMM contract on Firecracker: the real one where it is installed and KVM works, else the stand-in of
// test/firecracker-standin.

import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { UserNetworks } from "../../src/net/index.js";
import { type CardKind, createFirecrackerDriver } from "../../src/vmm/index.js";
import { installJailer, installStandin, standinFiles } from "../firecracker-standin/install.js";
import { netguardPath } from "../fixtures/assets.js";
import { connectedDriver } from "../fixtures/connected-driver.js";
import { vmmContract } from "./vmm.js";
import { type DriverFactory, VmmBench } from "./vmm-bench.js";
import { firecrackerSocketsContract } from "./vmm-firecracker-sockets.js";
import { privilegesContract } from "./vmm-privileges.js";
import { slirpContract } from "./vmm-slirp.js";

const directory = mkdtempSync(join(tmpdir(), "kf-"));
// VMs with a user of their own run the stand-in too.
chmodSync(directory, 0o755);
after(() => rmSync(directory, { recursive: true, force: true }));
const firecracker = await installStandin(directory);

const firecrackerFiles = await standinFiles(directory);
const jailer = await installJailer(directory);

/** @param jailer absent: kiln's own jail */
function standin(jailer?: string, program = firecracker): DriverFactory {
  const standing = { firecracker: program, firecrackerFiles, jailer, trustFirecracker: true };
  return (cacheDirectory, netguard = netguardPath(), confinement = {}) => {
    const networks = new UserNetworks({ netguard });
    const userNetwork = (kind: CardKind) => networks.look(kind);
    return connectedDriver(
      createFirecrackerDriver({ ...standing, ...confinement, cacheDirectory, userNetwork }),
      networks,
    );
  };
}

vmmContract("firecracker (stand-in)", standin());

describe("firecracker (stand-in) and its tap", () => slirpContract(standin()));

describe("VMM contract: firecracker in its jailer (stand-ins)", () => {
  privilegesContract(standin(jailer));

  it("is found where its name is a link: the jailer names its chroot after what that leads to", {
    skip: process.getuid?.() !== 0 && "not root: the jailer needs root",
  }, async () => {
    const link = join(directory, "fc");
    await symlink(firecracker, link);
    await using bench = await VmmBench.open(standin(jailer, link));
    const handle = await bench.launch({ runAs: { uid: 54321, gid: 54321 } });
    await handle.kill();
    assert.equal((await handle.exited).cause, "killed");
  });
});

describe("firecracker (stand-in) and a hostile user", () => firecrackerSocketsContract(standin()));
