// The VMM contract on Firecracker: the real one where it is installed and KVM works, else the stand-in of
// test/firecracker-standin.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { createFirecrackerDriver } from "../../src/vmm/index.js";
import { installStandin } from "../firecracker-standin/install.js";
import { netguardPath } from "../fixtures/assets.js";
import { vmmContract } from "./vmm.js";

const directory = mkdtempSync(join(tmpdir(), "kf-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const firecracker = await installStandin(directory);

vmmContract("firecracker (stand-in)", (cacheDirectory, netguard = netguardPath()) =>
  createFirecrackerDriver({ cacheDirectory, firecracker, trustFirecracker: true, netguard }),
);
