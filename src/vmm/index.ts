// The door of the VMM room.

export { removeConsoleLog } from "./console-log.js";
export type { ProbeKernel } from "./kvm-verdict.js";
export { createQemuDriver, type QemuDriverOptions, qemuCapabilities } from "./qemu/driver.js";
export type {
  Accelerator,
  DiskSpec,
  NetworkCardSpec,
  VmmCapabilities,
  VmmDriver,
  VmmExit,
  VmmExitCause,
  VmmHandle,
  VmmKind,
  VmmProbe,
  VmmRecord,
  VmmSpec,
  VmmStats,
} from "./types.js";
