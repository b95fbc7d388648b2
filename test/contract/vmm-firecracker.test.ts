// The VMM contract on Firecracker: the real one where it is installed and KVM works, else the stand-in of
// test/firecracker-standin.

import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe } from "node:test";
import { createFirecrackerDriver } from "../../src/vmm/index.js";
import { installJailer, installStandin, standinFiles } from "../firecracker-standin/install.js";
import { netguardPath } from "../fixtures/assets.js";
import { vmmContract } from "./vmm.js";
import type { DriverFactory } from "./vmm-bench.js";
import { privilegesContract } from "./vmm-privileges.js";

const directory = mkdtempSync(join(tmpdir(), "kf-"));
// VMs with a user of their own run the stand-in too.
chmodSync(directory, 0o755);
after(() => rmSync(directory, { recursive: true, force: true }));
const firecracker = await installStandin(directory);

const firecrackerFiles = await standinFiles(directory);
const jailer = await installJailer(directory);

/** @param jailer absent: kiln's own jail */
function standin(jailer?: string): DriverFactory {
  const standing = { firecracker, firecrackerFiles, jailer, trustFirecracker: true };
  return (cacheDirectory, netguard = netguardPath(), confinement = {}) =>
    createFirecrackerDriver({ ...standing, ...confinement, cacheDirectory, netguard });
}

vmmContract("firecracker (stand-in)", standin());

describe("VMM contract: firecracker in its jailer (stand-ins)", () => {
  privilegesContract(standin(jailer));
});
