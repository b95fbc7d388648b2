// The QEMU driver: finds QEMU, decides between KVM and TCG, launches and finds VMs again. What goes on the command
// line is config.ts's; what a running VM can do is handle.ts's.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import type { Abortable } from "../../base/progress.js";
import { delay } from "../../base/runtime.js";
import { UndoStack } from "../../base/undo.js";
import { ConsoleLog } from "../console-log.js";
import { EMULATED_CPU_LEVEL, hostCpuLevel } from "../cpu-level.js";
import { hostTscKhz } from "../host-tsc.js";
import { assertNetguardLoaded, copyNetguard, type Netguard, prepareNetguard } from "../netguard.js";
import { kvmGroup } from "../privileges.js";
import { checkFiles, checkReattach, checkSpec } from "../spec-check.js";
import type {
  Accelerator,
  VmmCapabilities,
  VmmDriver,
  VmmHandle,
  VmmProbe,
  VmmRecord,
  VmmSpec,
} from "../types.js";
import { describeEnd, VmmProcess } from "../vmm-process.js";
import { MAX_DISKS, MAX_VCPUS, planQemu, planSockets, type QemuHost, type QemuSockets } from "./config.js";
import { QemuHandle } from "./handle.js";
import { type QemuProbeOptions, QemuProber } from "./probe.js";
import { calibrateTsc } from "./tsc-calibration.js";

export interface QemuDriverOptions extends QemuProbeOptions {
  /** The built library of agent/netguard; VMs with a network card are refused without it. */
  readonly netguard?: string | undefined;
}

const CONSOLE_LOG = "console.log";
const LAST_WORDS_MS = 500;

export function createQemuDriver(options: QemuDriverOptions): VmmDriver {
  return new QemuDriver(options);
}

/** What every VM under QEMU can count on. */
export function qemuCapabilities(accelerator: Accelerator): VmmCapabilities {
  return {
    accelerator,
    channel: "virtio-serial",
    userNetwork: true,
    freePageReporting: true,
    poweroffExits: true,
    tellsReboot: true,
    pause: true,
    maxDisks: MAX_DISKS,
    maxVcpus: MAX_VCPUS,
  };
}

class QemuDriver implements VmmDriver {
  readonly kind = "qemu";
  readonly #options: QemuDriverOptions;
  readonly #prober: QemuProber;

  constructor(options: QemuDriverOptions) {
    this.#options = options;
    this.#prober = new QemuProber(options);
  }

  async probe(options: Abortable = {}): Promise<VmmProbe> {
    options.signal?.throwIfAborted();
    const verdict = await this.#prober.probe();
    if (verdict.accelerator === undefined) return { kind: this.kind, usable: false, ...verdict.found };
    const capabilities = qemuCapabilities(verdict.accelerator);
    const cpuLevel = verdict.accelerator === "kvm" ? await hostCpuLevel() : EMULATED_CPU_LEVEL;
    return { kind: this.kind, usable: true, ...verdict.found, capabilities, cpuLevel };
  }

  async launch(spec: VmmSpec, options: Abortable = {}): Promise<VmmHandle> {
    try {
      return await this.#launch(spec, options);
    } catch (error) {
      throw KilnError.from(error, `start QEMU for VM ${spec.vmId.slice(0, 12)}`);
    }
  }

  async #launch(spec: VmmSpec, options: Abortable): Promise<VmmHandle> {
    const probe = await this.probe(options);
    if (probe.capabilities === undefined || probe.path === undefined) throw unusable(probe);
    checkSpec(spec, probe.capabilities);
    await checkFiles(spec);
    const host = await this.#host(spec, probe.path, probe.capabilities.accelerator);
    const plan = planQemu(spec, host);
    await removeSockets(plan.sockets);

    await using undo = new UndoStack();
    undo.push("remove QEMU's sockets", () => removeSockets(plan.sockets));
    const log = await ConsoleLog.start(join(spec.stateDirectory, CONSOLE_LOG));
    undo.push("close the console log", () => log.close());
    const vmm = await VmmProcess.spawn(plan);
    undo.push("kill QEMU", () => vmm.kill());
    const record: VmmRecord = {
      driver: this.kind,
      process: vmm.id,
      capabilities: probe.capabilities,
      facts: {
        ...plan.sockets,
        consoleLog: log.path,
        ...(host.netguard === undefined ? {} : { netguard: host.netguard.library }),
      },
    };
    const handle = new QemuHandle({
      record,
      sockets: plan.sockets,
      process: vmm,
      log,
      memoryBytes: spec.memoryBytes,
    });
    undo.push("let go of QEMU", () => handle.detach());
    await connectToNew(handle, vmm, options);
    await assertGuarded(spec, vmm, host);
    await handle.begin();
    options.signal?.throwIfAborted();
    undo.commit();
    return handle;
  }

  async reattach(record: VmmRecord, spec: VmmSpec, options: Abortable = {}): Promise<VmmHandle> {
    checkReattach(record, this.kind);
    const vmm = await VmmProcess.attach(record.process);
    if (vmm === undefined) throw gone(spec);
    await using undo = new UndoStack();
    undo.push("stop watching QEMU", () => vmm.release());
    const sockets = planSockets(spec.runDirectory);
    const log = await ConsoleLog.resume(record.facts.consoleLog ?? join(spec.stateDirectory, CONSOLE_LOG));
    const handle = new QemuHandle({ record, sockets, process: vmm, log, memoryBytes: spec.memoryBytes });
    undo.push("let go of QEMU", () => handle.detach());
    let ended = false;
    void vmm.ended.then(() => {
      ended = true;
    });
    try {
      await handle.connect(options);
      await goOn(handle, vmm, record);
    } catch (error) {
      if (ended) throw gone(spec);
      throw KilnError.from(error, `find QEMU of VM ${spec.vmId.slice(0, 12)} again`);
    }
    undo.commit();
    return handle;
  }

  async #host(spec: VmmSpec, program: string, accelerator: Accelerator): Promise<QemuHost> {
    const uid = process.getuid?.() ?? 0;
    return {
      program,
      accelerator,
      uid,
      tscKhz: accelerator === "tcg" ? await this.#tscKhz(program) : undefined,
      kvmGroup: accelerator === "kvm" ? await kvmGroup() : undefined,
      netguard: spec.network === undefined ? undefined : await this.#netguard(spec),
    };
  }

  async #netguard(spec: VmmSpec): Promise<Netguard> {
    const guard = await prepareNetguard(this.#options.netguard);
    return spec.runAs === undefined ? guard : copyNetguard(guard, spec.stateDirectory);
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

/** A kilnd that died between spawn and `cont` left a guest that never ran; one that stalled needs its watch. */
async function goOn(handle: QemuHandle, vmm: VmmProcess, record: VmmRecord): Promise<void> {
  const status = await handle.status();
  if (status === "prelaunch") {
    const { netguard } = record.facts;
    if (netguard !== undefined) await assertNetguardLoaded(vmm.id.pid, netguard);
    await handle.begin();
  } else if (status === "io-error") {
    handle.beginStalled();
  }
}

async function assertGuarded(spec: VmmSpec, vmm: VmmProcess, host: QemuHost): Promise<void> {
  if (spec.network === undefined || host.netguard === undefined) return;
  await assertNetguardLoaded(vmm.id.pid, host.netguard.library);
}

async function removeSockets(sockets: QemuSockets): Promise<void> {
  for (const path of Object.values(sockets)) await rm(path, { force: true });
}

function unusable(probe: VmmProbe): KilnError {
  return new KilnError(Code.FailedPrecondition, probe.why, { reason: "vmm-unusable" });
}

function gone(spec: VmmSpec): KilnError {
  return new KilnError(Code.NotFound, `the VMM of VM ${spec.vmId.slice(0, 12)} has ended`, {
    reason: "vmm-gone",
  });
}
