// The QEMU driver: launches VMs and finds them again. What is here for them is look.ts's; what goes on the command
// line is config.ts's; what a running VM can do is handle.ts's.

import { realpath, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { assertNetguardLoaded } from "../../base/netguard.js";
import type { Abortable } from "../../base/progress.js";
import { delay } from "../../base/runtime.js";
import { UndoStack } from "../../base/undo.js";
import { aroundTaps, hasCard, type UserNetworkLook } from "../cards.js";
import { ConsoleLog } from "../console-log.js";
import { recordedSerials, serialFacts } from "../disk-serials.js";
import { hostTscKhz } from "../host-tsc.js";
import { type Confined, Confiner, type ConfinerOptions } from "../jail/confiner.js";
import { accessTo } from "../jail/own-device.js";
import { KVM_DEVICE } from "../kvm-verdict.js";
import { portFacts, recordedPorts } from "../ports.js";
import { checkFiles, checkReattach, checkSpec } from "../spec-check.js";
import type {
  Accelerator,
  DiskBus,
  DiskSpec,
  LaunchOptions,
  ReattachSpec,
  VmmCapabilities,
  VmmDriver,
  VmmHandle,
  VmmProbe,
  VmmRecord,
  VmmSpec,
} from "../types.js";
import { describeEnd, VmmProcess } from "../vmm-process.js";
import { overheadBytes, planQemu, planSockets, type QemuPlan } from "./config.js";
import { placeDisks, serialsOf } from "./disks.js";
import { QemuHandle, STREAM_FACT } from "./handle.js";
import { MAX_HOT_CARDS } from "./hot-cards.js";
import { MAX_HOT_DISKS } from "./hot-disks.js";
import { QemuLook } from "./look.js";

import { planPorts } from "./ports.js";

import type { QemuProbeOptions } from "./probe.js";
import { calibrateTsc } from "./tsc-calibration.js";

export interface QemuDriverOptions extends QemuProbeOptions, ConfinerOptions {
  /** Whether there is something to connect to cards, for the probe; default: there is nothing. */
  readonly userNetwork?: UserNetworkLook | undefined;
  /** Path of `kiln-sendfd`; without it no disk is attached to a VM that runs. */
  readonly sendfd?: string | undefined;
  /** Shared by the drivers of a kilnd; default: one of its own. */
  readonly confiner?: Confiner | undefined;
}

const CONSOLE_LOG = "console.log";
const LAST_WORDS_MS = 500;

export function createQemuDriver(options: QemuDriverOptions): VmmDriver {
  return new QemuDriver(options);
}

class QemuDriver implements VmmDriver {
  readonly kind = "qemu";
  readonly #options: QemuDriverOptions;
  readonly #look: QemuLook;
  readonly #confiner: Confiner;

  constructor(options: QemuDriverOptions) {
    this.#options = options;
    this.#confiner = options.confiner ?? new Confiner(options);
    this.#look = new QemuLook(options, this.#confiner);
  }

  busesOf(disks: readonly DiskSpec[], hotplug = false): ReadonlySet<DiskBus> {
    return new Set([...placeDisks(disks).map(({ bus }) => bus), ...(hotplug ? (["scsi"] as const) : [])]);
  }

  async probe(options: Abortable = {}): Promise<VmmProbe> {
    options.signal?.throwIfAborted();
    return this.#look.probe();
  }

  async launch(spec: VmmSpec, options: LaunchOptions = {}): Promise<VmmHandle> {
    try {
      return await this.#launch(spec, options);
    } catch (error) {
      throw KilnError.from(error, `start QEMU for VM ${spec.vmId.slice(0, 12)}`);
    }
  }

  async #launch(spec: VmmSpec, options: LaunchOptions): Promise<VmmHandle> {
    const probe = await this.probe(options);
    if (probe.capabilities === undefined || probe.path === undefined) throw unusable(probe);
    checkSpec(spec, probe.capabilities, ["blk", "scsi"]);
    await checkFiles(spec);
    const { accelerator } = probe.capabilities;
    const program = await realpath(probe.path);
    const tscKhz = accelerator === "tcg" ? await this.#tscKhz(program) : undefined;
    const plan = planQemu(spec, { accelerator, tscKhz });
    const ports = planPorts(spec.runDirectory, spec.ports);
    await removeSockets(plan);

    await using undo = new UndoStack();
    undo.push("remove QEMU's sockets", () => removeSockets(plan));
    const log = await ConsoleLog.start(join(spec.stateDirectory, CONSOLE_LOG));
    undo.push("close the console log", () => log.close());
    const confined = await this.#confine(spec, plan, program, accelerator);
    const { process: vmm, facts, limited } = confined;
    undo.push("kill QEMU", () => vmm.kill());
    const disks = serialsOf(spec.disks);
    const record: VmmRecord = {
      driver: this.kind,
      process: vmm.id,
      capabilities: { ...probe.capabilities, ...roomFor(spec) },
      facts: {
        ...plan.sockets,
        consoleLog: log.path,
        ...facts,
        ...serialFacts(disks),
        ...portFacts(spec.ports),
        ...(hasCard(spec, "stream") ? STREAM_FACT : {}),
      },
    };
    const handle = new QemuHandle({
      record,
      sockets: plan.sockets,
      owners: [ownUid()],
      process: vmm,
      log,
      disks,
      ports,
      memoryBytes: spec.memoryBytes,
      sendfd: this.#options.sendfd,
      join: confined.join,
    });
    undo.push("let go of QEMU", () => handle.detach());
    const beside = options.beside?.(handle);
    // Whoever waits for it hears of its failure.
    const settled = beside?.catch(() => undefined);
    undo.push("wait for what is beside QEMU", () => settled);
    await connectToNew(handle, vmm, options);
    await beside;
    await limited;
    await handle.begin();
    options.signal?.throwIfAborted();
    undo.commit();
    return handle;
  }

  async reattach(record: VmmRecord, spec: ReattachSpec, options: Abortable = {}): Promise<VmmHandle> {
    checkReattach(record, this.kind);
    const cgroup = await this.#confiner.found(spec.vmId, record);
    const vmm = await VmmProcess.attach(record.process, cgroup && (() => cgroup.close()));
    if (vmm === undefined) throw gone(spec);
    await using undo = new UndoStack();
    undo.push("stop watching QEMU", () => vmm.release());
    const sockets = planSockets(spec.runDirectory);
    const log = await ConsoleLog.resume(record.facts.consoleLog ?? join(spec.stateDirectory, CONSOLE_LOG));
    const handle = new QemuHandle({
      ...{ record, sockets, process: vmm, log, memoryBytes: spec.memoryBytes },
      sendfd: this.#options.sendfd,
      join: async (pid) => cgroup?.add([pid]),
      // Every release has given them these.
      disks: recordedSerials(record.facts) ?? serialsOf(spec.disks),
      ports: planPorts(spec.runDirectory, recordedPorts(record, spec)),
      // Before jails the VM's own user made them.
      owners: spec.runAs === undefined ? [ownUid()] : [ownUid(), spec.runAs.uid],
    });
    undo.push("let go of QEMU", () => handle.detach());
    let ended = false;
    void vmm.ended.then(() => {
      ended = true;
    });
    try {
      await handle.connect(options);
      await handle.findDisks();
      await goOn(handle, vmm, record);
    } catch (error) {
      if (ended) throw gone(spec);
      throw KilnError.from(error, `find QEMU of VM ${spec.vmId.slice(0, 12)} again`);
    }
    undo.commit();
    return handle;
  }

  async #confine(
    spec: VmmSpec,
    plan: QemuPlan,
    program: string,
    accelerator: Accelerator,
  ): Promise<Confined> {
    const devices = accelerator === "kvm" ? [KVM_DEVICE] : [];
    return this.#confiner.launch({
      ...{ spec, driver: this.kind, program, files: plan.files, listeners: plan.listeners },
      opened: plan.opened,
      tree: () => this.#look.tree(program),
      // Without /dev/null QEMU takes its host for one without good locks of files.
      devices: ["/dev/null", ...devices],
      access: accelerator === "kvm" ? await accessTo(KVM_DEVICE, spec.runAs) : undefined,
      overheadBytes: overheadBytes(spec),
      around: (argv) => aroundTaps(spec, argv),
      command: (at) => plan.command(program, at),
    });
  }

  #tscKhz(program: string): Promise<number | undefined> {
    const { cacheDirectory } = this.#options;
    return hostTscKhz(cacheDirectory, () => calibrateTsc(program, cacheDirectory));
  }
}

async function connectToNew(handle: QemuHandle, vmm: VmmProcess, options: Abortable): Promise<void> {
  let end: string | undefined;
  const ended = vmm.ended.then((how) => {
    end = describeEnd(how);
  });
  try {
    await handle.connect({ ...options, gone: () => end !== undefined });
  } catch (error) {
    options.signal?.throwIfAborted();
    // A QEMU that gives up closes its sockets a moment before it ends.
    await Promise.race([ended, delay(LAST_WORDS_MS)]);
    if (end === undefined) throw error;
    const words = vmm.stderrTail();
    throw new KilnError(
      Code.FailedPrecondition,
      `QEMU ended at once (${end})${words === "" ? "" : `: ${words}`}`,
      {
        reason: "vmm-failed",
        cause: error,
      },
    );
  }
}

/** What a VM may be given while it runs. */
function roomFor(spec: VmmSpec): Pick<VmmCapabilities, "hotplugDisks" | "hotplugCards"> {
  return {
    hotplugDisks: spec.hotplug === true ? MAX_HOT_DISKS : 0,
    hotplugCards: spec.hotplugCards === true ? MAX_HOT_CARDS : 0,
  };
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}

/** A kilnd that died between spawn and `cont` left a guest that never ran; one that stalled needs its watch. */
async function goOn(handle: QemuHandle, vmm: VmmProcess, record: VmmRecord): Promise<void> {
  const status = await handle.status();
  if (status === "prelaunch") {
    // Of a release whose user network was inside QEMU.
    const { netguard } = record.facts;
    if (netguard !== undefined) await assertNetguardLoaded(vmm.id.pid, netguard);
    await handle.begin();
  } else if (status === "io-error") {
    handle.beginStalled();
  }
}

async function removeSockets({ sockets, listeners }: QemuPlan): Promise<void> {
  const directory = dirname(sockets.qmp);
  const names = new Set([...Object.values(sockets), ...listeners.map((name) => join(directory, name))]);
  for (const path of names) await rm(path, { force: true });
}

function unusable(probe: VmmProbe): KilnError {
  return new KilnError(Code.FailedPrecondition, probe.why, { reason: "vmm-unusable" });
}

function gone(spec: ReattachSpec): KilnError {
  return new KilnError(Code.NotFound, `the VMM of VM ${spec.vmId.slice(0, 12)} has ended`, {
    reason: "vmm-gone",
  });
}
