// The VMM contract on QEMU with a real guest, and what only QEMU has.

import { createQemuDriver } from "../../src/vmm/index.js";
import { netguardPath } from "../fixtures/assets.js";
import { vmmContract } from "./vmm.js";

vmmContract("qemu", (cacheDirectory) => createQemuDriver({ cacheDirectory, netguard: netguardPath() }));
