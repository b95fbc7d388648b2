// The run-time side of a VM, as kept in status.json. Losing this file loses no VM: it says what ran and how it
// ended, while vm.json says what the VM is. So it may be written without fsync while a VM starts.

import * as v from "valibot";
import { openObject, type RecordKind } from "../../base/versioned.js";
import { PortBindingSchema } from "./vm-config.js";

const Text = v.optional(v.string(), "");
const Flag = v.optional(v.boolean(), false);
const Milliseconds = v.optional(v.number(), 0);
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const count = (byDefault: number) => v.optional(Count, byDefault);

/**
 * An open map: what a release adds has a default that promises little, so that a record of before it counts. Which VMM
 * it is says the rest (`VmmRecordSchema`).
 */
const CapabilitiesSchema = openObject({
  accelerator: v.optional(v.picklist(["kvm", "tcg"]), "tcg"),
  channel: v.optional(v.picklist(["virtio-serial", "vsock"]), "virtio-serial"),
  userNetwork: v.optional(v.boolean(), true),
  cards: v.optional(v.picklist(["stream", "tap"])),
  cardMtu: v.optional(Count),
  freePageReporting: Flag,
  poweroffExits: v.optional(v.boolean(), true),
  tellsReboot: v.optional(v.boolean(), true),
  pause: v.optional(v.boolean(), true),
  maxDisks: count(0),
  maxVcpus: count(0),
});

/**
 * A driver's record of its process; `facts` are opaque to the engine. Only the process is needed to find a VMM again:
 * nothing else in here may cost a VM that runs.
 */
const VmmRecordSchema = openObject({
  driver: v.optional(v.picklist(["qemu", "firecracker"]), "qemu"),
  process: openObject({ pid: Count, startTime: v.string() }),
  capabilities: v.optional(CapabilitiesSchema, {}),
  facts: v.optional(v.record(v.string(), v.string()), {}),
});

/** The exit that the agent reported. Written before it is acknowledged: afterwards the guest forgets it. */
const ReportedExitSchema = openObject({
  code: v.pipe(v.number(), v.integer()),
  error: Text,
  oomKilled: Flag,
  request: v.optional(v.picklist(["none", "poweroff", "reboot"]), "none"),
  finishedAt: Text,
});
export type ReportedExit = v.InferOutput<typeof ReportedExitSchema>;

/** Milliseconds of the guest's own clock. */
const GuestTimingsSchema = openObject({
  initMs: Milliseconds,
  modulesMs: Milliseconds,
  helloMs: Milliseconds,
  rootMs: Milliseconds,
  startedMs: Milliseconds,
});

/** Milliseconds after the request to start. */
const TimingsSchema = openObject({
  preparedMs: Milliseconds,
  spawnedMs: Milliseconds,
  helloMs: Milliseconds,
  startedMs: Milliseconds,
  guest: v.exactOptional(GuestTimingsSchema),
});
/** Where the time of a start went, in milliseconds. */
export type Timings = v.InferOutput<typeof TimingsSchema>;

const VmStatusSchema = openObject({
  version: Count,
  /** Without it nothing is known: the file then counts as lost. */
  state: v.picklist(["created", "starting", "running", "paused", "stopping", "exited", "failed"]),
  exitCode: v.optional(v.pipe(v.number(), v.integer()), 0),
  /** Stable word: "program-exited", "vmm-died", "no-hello", "killed", ... */
  reason: Text,
  message: Text,
  oomKilled: Flag,
  /** Number of the boot: log records of two boots never mix. */
  boot: count(0),
  restartCount: count(0),
  /** The user ended it: `unless-stopped` then leaves it alone. */
  stoppedByUser: Flag,
  startedAt: v.exactOptional(v.string()),
  finishedAt: v.exactOptional(v.string()),
  /** When the restart policy brings it back. */
  restartAt: v.exactOptional(v.string()),
  /** When its lifetime is over: counted from the user's start, through every restart and reboot. */
  expiresAt: v.exactOptional(v.string()),
  /** What a user has asked of its program while it is stopping: the next kilnd is no less patient. */
  stop: v.exactOptional(openObject({ signal: count(0), timeoutMs: count(0), until: Text })),
  /** The back-off before the present run, milliseconds. */
  restartDelayMs: count(0),
  /** Written before the VMM is spawned, so that a kilnd killed in between can find the process by its directory. */
  launch: v.exactOptional(
    openObject({
      runDirectory: v.string(),
      at: Text,
      /** Its guest's reboot or its policy is to start it: nobody waits who would ask again where kilnd is killed. */
      unasked: v.exactOptional(v.boolean()),
    }),
  ),
  vmm: v.exactOptional(VmmRecordSchema),
  exit: v.exactOptional(ReportedExitSchema),
  /** As bound, while it runs. */
  ports: v.optional(v.array(PortBindingSchema), []),
  vmmKind: Text,
  accelerator: Text,
  kernelRelease: Text,
  ipAddress: Text,
  /** Addresses that a network's plugins have chosen, by its name: asked for again at the next start. */
  given: v.exactOptional(v.record(v.string(), v.array(v.string()))),
  consoleLog: Text,
  /** Clients that wait for its end, where it is removed then. */
  followers: v.exactOptional(Count),
  timings: v.exactOptional(TimingsSchema),
});
/** What is: the state of a VM, what runs of it, how it ended. Written by kilnd alone. */
export type VmStatus = v.InferOutput<typeof VmStatusSchema>;

export const VM_STATUS: RecordKind<VmStatus> = { version: 1, schema: VmStatusSchema, migrations: {} };

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
