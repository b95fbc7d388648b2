// The door of the VMM room.

export {
  createVmms,
  type VmmChoice,
  type VmmName,
  type Vmms,
  type VmmsOptions,
} from "./choose.js";
export { createFirecrackerDriver, type FirecrackerDriverOptions } from "./firecracker/driver.js";
export type { Confinement } from "./jail/confiner.js";
export type { ProbeKernel } from "./kvm-verdict.js";
export { listenForGuest } from "./ports.js";
export { type ProcessRecord, readProcessRecord, writeProcessRecord } from "./process-record.js";
export { createQemuDriver, type QemuDriverOptions } from "./qemu/driver.js";
export type {
  Accelerator,
  CardKind,
  CardSpec,
  DiskBus,
  DiskSpec,
  LaunchOptions,
  PortSpec,
  VmmCapabilities,
  VmmCards,
  VmmDriver,
  VmmExit,
  VmmExitCause,
  VmmHandle,
  VmmKind,
  VmmPort,
  VmmProbe,
  VmmRecord,
  VmmSide,
  VmmSpec,
  VmmStats,
  VmmTraffic,
} from "./types.js";
