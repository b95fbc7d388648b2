// What every VMM driver must do, shown on a real guest. The suites are split by what they are about; this file runs
// them all for one driver.

import { join } from "node:path";
import { describe } from "node:test";
import type { DriverFactory } from "./vmm-bench.js";
import { channelContract } from "./vmm-channel.js";
import { confinementContract } from "./vmm-confinement.js";
import { consoleContract } from "./vmm-console.js";
import { disksContract } from "./vmm-disks.js";
import { endContract } from "./vmm-end.js";
import { hotDisksContract } from "./vmm-hot-disks.js";
import { machineContract } from "./vmm-machine.js";
import { networkContract } from "./vmm-network.js";
import { portsContract } from "./vmm-ports.js";
import { privilegesContract } from "./vmm-privileges.js";
import { reattachContract } from "./vmm-reattach.js";

export function vmmContract(name: string, makeDriver: DriverFactory): void {
  describe(`VMM contract: ${name}`, () => {
    machineContract(makeDriver);
    disksContract(makeDriver);
    hotDisksContract(makeDriver);
    channelContract(makeDriver);
    portsContract(makeDriver);
    consoleContract(makeDriver);
    endContract(makeDriver);
    reattachContract(makeDriver);
    privilegesContract(makeDriver);
    confinementContract(makeDriver);
    networkContract(makeDriver, (directory) => makeDriver(directory, join(directory, "no-such-library.so")));
  });
}
