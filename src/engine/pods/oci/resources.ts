// A container's limits, for its cgroup of version 2 in the guest.

import { defined } from "../../../base/defined.js";
import type { ContainerResources } from "../containers/spec.js";
import type { OciResources } from "./types.js";

const LEAST_SHARES = 2;
const MOST_SHARES = 262_144;
const MOST_WEIGHT = 10_000;

/** @param privileged may use every device of the guest's */
export function planResources(asked: ContainerResources, privileged: boolean): OciResources {
  const { memoryBytes, memorySwapBytes, cpuQuotaUs, cpuPeriodUs, cpus, memoryNodes, cpuShares } = asked;
  const weight = weightOf(cpuShares);
  return {
    devices: [{ allow: privileged, access: "rwm" }],
    memory: defined({ limit: limit(memoryBytes), swap: limit(memorySwapBytes) }),
    cpu: defined({
      quota: limit(cpuQuotaUs),
      period: limit(cpuPeriodUs),
      cpus: cpus || undefined,
      mems: memoryNodes || undefined,
    }),
    hugepageLimits: Object.entries(asked.hugePages).map(([pageSize, bytes]) => ({ pageSize, limit: bytes })),
    // Runtimes don't agree on what shares are as a weight (crun 20 for 512, runc 59): so it is said in the kernel's words.
    unified: { ...(weight === 0 ? {} : { "cpu.weight": String(weight) }), ...asked.unified },
  };
}

function limit(value: number): number | undefined {
  return value === 0 ? undefined : value;
}

/**
 * cpu.weight for shares of version 1, as runc has it since 1.3: 1024 is 100, and both ends are kept. 0 for none.
 *
 * Source: opencontainers/cgroups, ConvertCPUSharesToCgroupV2Value.
 */
export function weightOf(shares: number): number {
  if (shares === 0) return 0;
  if (shares <= LEAST_SHARES) return 1;
  if (shares >= MOST_SHARES) return MOST_WEIGHT;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}
