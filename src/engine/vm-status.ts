// The run-time side of a VM, as kept in status.json. Losing this file loses no VM: it says what ran and how it
// ended, while vm.json says what the VM is. So it may be written without fsync while a VM starts.

import * as v from "valibot";
import { PortBindingSchema } from "./vm-config.js";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const CapabilitiesSchema = v.strictObject({
  accelerator: v.picklist(["kvm", "tcg"]),
  channel: v.picklist(["virtio-serial", "vsock"]),
  userNetwork: v.boolean(),
  freePageReporting: v.boolean(),
  poweroffExits: v.boolean(),
  tellsReboot: v.boolean(),
  pause: v.boolean(),
  maxDisks: Count,
  maxVcpus: Count,
});

/** A driver's record of its process; `facts` are opaque to the engine. */
export const VmmRecordSchema = v.strictObject({
  driver: v.picklist(["qemu", "firecracker"]),
  process: v.strictObject({ pid: Count, startTime: v.string() }),
  capabilities: CapabilitiesSchema,
  facts: v.record(v.string(), v.string()),
});

/** The exit that the agent reported. Written before it is acknowledged: afterwards the guest forgets it. */
export const ReportedExitSchema = v.strictObject({
  code: v.pipe(v.number(), v.integer()),
  error: v.string(),
  oomKilled: v.boolean(),
  request: v.picklist(["none", "poweroff", "reboot"]),
  finishedAt: v.string(),
});
export type ReportedExit = v.InferOutput<typeof ReportedExitSchema>;

/** Milliseconds of the guest's own clock. */
const GuestTimingsSchema = v.strictObject({
  initMs: v.number(),
  modulesMs: v.number(),
  helloMs: v.number(),
  rootMs: v.number(),
  startedMs: v.number(),
});
export type GuestTimings = v.InferOutput<typeof GuestTimingsSchema>;

/** Milliseconds after the request to start. */
export const TimingsSchema = v.strictObject({
  preparedMs: v.number(),
  spawnedMs: v.number(),
  helloMs: v.number(),
  startedMs: v.number(),
  guest: v.exactOptional(GuestTimingsSchema),
});
export type Timings = v.InferOutput<typeof TimingsSchema>;

export const VmStatusSchema = v.strictObject({
  version: v.literal(1),
  state: v.picklist(["created", "starting", "running", "paused", "stopping", "exited", "failed"]),
  exitCode: v.pipe(v.number(), v.integer()),
  /** Stable word: "program-exited", "vmm-died", "no-hello", "killed", ... */
  reason: v.string(),
  message: v.string(),
  oomKilled: v.boolean(),
  /** Number of the boot: log records of two boots never mix. */
  boot: Count,
  restartCount: Count,
  /** The user ended it: `unless-stopped` then leaves it alone. */
  stoppedByUser: v.boolean(),
  startedAt: v.exactOptional(v.string()),
  finishedAt: v.exactOptional(v.string()),
  /** When the restart policy brings it back. */
  restartAt: v.exactOptional(v.string()),
  /** The back-off before the present run, milliseconds. */
  restartDelayMs: Count,
  /** Written before the VMM is spawned, so that a kilnd killed in between can find the process by its directory. */
  launch: v.exactOptional(v.strictObject({ runDirectory: v.string(), at: v.string() })),
  vmm: v.exactOptional(VmmRecordSchema),
  exit: v.exactOptional(ReportedExitSchema),
  /** As bound, while it runs. */
  ports: v.array(PortBindingSchema),
  vmmKind: v.string(),
  accelerator: v.string(),
  kernelRelease: v.string(),
  ipAddress: v.string(),
  consoleLog: v.string(),
  timings: v.exactOptional(TimingsSchema),
});
export type VmStatus = v.InferOutput<typeof VmStatusSchema>;

/** The status of a VM that was never started. */
export function createdStatus(): VmStatus {
  return {
    version: 1,
    state: "created",
    exitCode: 0,
    reason: "",
    message: "",
    oomKilled: false,
    boot: 0,
    restartCount: 0,
    restartDelayMs: 0,
    stoppedByUser: false,
    ports: [],
    vmmKind: "",
    accelerator: "",
    kernelRelease: "",
    ipAddress: "",
    consoleLog: "",
  };
}
