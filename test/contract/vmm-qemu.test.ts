// The VMM contract on QEMU with a real guest.

import { createQemuDriver } from "../../src/vmm/index.js";
import { netguardPath } from "../fixtures/assets.js";
import { vmmContract } from "./vmm.js";

vmmContract("qemu", (cacheDirectory, netguard = netguardPath()) =>
  createQemuDriver({ cacheDirectory, netguard }),
);
