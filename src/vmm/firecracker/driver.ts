// The Firecracker driver: finds Firecracker, launches VMs by configuration file and finds them again. What goes into
// the file is config.ts's; what a running VM can do is handle.ts's.

import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import type { Abortable } from "../../base/progress.js";
import { deferred } from "../../base/runtime.js";
import { UndoStack } from "../../base/undo.js";
import { NO_NETWORK, type UserNetworkLook } from "../cards.js";
import { ConsoleLog } from "../console-log.js";
import { EMULATED_CPU_LEVEL, hostCpuLevel } from "../cpu-level.js";
import { recordedSerials, serialFacts } from "../disk-serials.js";
import { Confiner, type ConfinerOptions } from "../jail/confiner.js";
import type { JailTree } from "../jail/plan.js";
import { type Trees, treeWith } from "../jail/tree.js";
import { bootInJail } from "../jailed-boot.js";
import { KVM_DEVICE, type ProbeKernel } from "../kvm-verdict.js";
import { MAX_PORTS, portFacts, recordedPorts } from "../ports.js";
import { checkFiles, checkReattach, checkSpec } from "../spec-check.js";
import type {
  Accelerator,
  DiskBus,
  LaunchOptions,
  ReattachSpec,
  VmmCapabilities,
  VmmDriver,
  VmmHandle,
  VmmProbe,
  VmmRecord,
  VmmSpec,
} from "../types.js";
import { VmmProcess } from "../vmm-process.js";
import { hasFreePageReporting, MAX_DISKS, MAX_VCPUS, maxDisksOf } from "./config.js";
import { ConfinedWay } from "./confined.js";
import { FifoHolders } from "./fifo-holders.js";
import { serialsOfFiles } from "./file-serials.js";
import { FirecrackerHandle } from "./handle.js";
import { HOT, MAX_HOT_DRIVES, noDevices } from "./hot-drives.js";
import { JailerWay } from "./jailer.js";
import { recordedPaths } from "./paths.js";
import { planPorts } from "./ports.js";
import {
  type FirecrackerProbeOptions,
  FirecrackerProber,
  type FirecrackerVerdict,
  findJailer,
  planTestBoot,
} from "./probe.js";
import { firecrackerTrees } from "./program-files.js";
import { neverRan, untilListening, untilRunning, untilStarted } from "./start-up.js";
import type { LaunchWay } from "./way.js";

export interface FirecrackerDriverOptions extends FirecrackerProbeOptions, ConfinerOptions {
  /** Shared by the drivers of a kilnd; default: one of its own. */
  readonly confiner?: Confiner | undefined;
  /** Directories that its jail shows besides the host's programs: for a Firecracker that is more than one file. */
  readonly firecrackerFiles?: readonly string[] | undefined;
  /** Whether there is something to connect taps, for the probe; default: there is nothing. */
  readonly userNetwork?: UserNetworkLook | undefined;
}

const CONSOLE_LOG = "console.log";
const BUSES: readonly DiskBus[] = ["blk"];

export function createFirecrackerDriver(options: FirecrackerDriverOptions): VmmDriver {
  return new FirecrackerDriver(options);
}

class FirecrackerDriver implements VmmDriver {
  readonly kind = "firecracker";
  readonly #options: FirecrackerDriverOptions;
  readonly #prober: FirecrackerProber;
  readonly #confiner: Confiner;
  readonly #trees = new Map<string, Trees>();

  constructor(options: FirecrackerDriverOptions) {
    this.#options = options;
    this.#confiner = options.confiner ?? new Confiner(options);
    this.#prober = new FirecrackerProber(options, (program, kernel) => this.#testBoot(program, kernel));
  }

  busesOf(): ReadonlySet<DiskBus> {
    return new Set(BUSES);
  }

  async probe(options: Abortable = {}): Promise<VmmProbe> {
    options.signal?.throwIfAborted();
    const verdict = await this.#prober.probe();
    const { usable, found } = verdict;
    if (!usable) return { kind: this.kind, usable, ...found };
    const capabilities = await this.#capabilities(verdict);
    const cpuLevel = verdict.accelerator === "kvm" ? await hostCpuLevel() : EMULATED_CPU_LEVEL;
    const exposed = await this.#exposed(found.path);
    return { kind: this.kind, usable, ...found, capabilities, cpuLevel, exposed };
  }

  async launch(spec: VmmSpec, options: LaunchOptions = {}): Promise<VmmHandle> {
    try {
      return await this.#launch(spec, options);
    } catch (error) {
      throw KilnError.from(error, `start Firecracker for VM ${spec.vmId.slice(0, 12)}`);
    }
  }

  async #launch(spec: VmmSpec, options: LaunchOptions): Promise<VmmHandle> {
    const verdict = await this.#prober.probe();
    const { path, version, why } = verdict.found;
    if (!verdict.usable || path === undefined || version === undefined) throw unusable(why);
    const capabilities = await this.#capabilities(verdict);
    checkSpec(spec, { ...capabilities, maxDisks: maxDisksOf(spec) }, BUSES);
    for (const disk of spec.disks) if (disk.device === true) throw noDevices(disk);
    await checkFiles(spec);
    const disks = await serialsOfFiles(spec.disks);
    const ports = planPorts(spec.runDirectory, spec.ports);
    const way = await this.#way(spec, { program: path, version });
    const { paths } = way;

    await using undo = new UndoStack();
    undo.push("remove Firecracker's files", () => way.remove());
    await way.prepare();
    const log = await ConsoleLog.start(join(spec.stateDirectory, CONSOLE_LOG));
    undo.push("close the console log", () => log.close());
    const held = new FifoHolders(paths);
    undo.push("let go of the FIFOs", () => held.release());
    const started = await way.start(held.console);
    const { process: vmm, limited, facts: found } = started;
    undo.push("kill Firecracker", () => vmm.kill());
    const told = { ...serialFacts(disks), ...portFacts(spec.ports) };
    const facts = { consoleLog: log.path, version, ...found, ...told };
    const own = { ...capabilities, hotplugDisks: Number(found.spares ?? 0) };
    const record: VmmRecord = { driver: this.kind, process: vmm.id, capabilities: own, facts };
    const runs = deferred<void>();
    const handle = new FirecrackerHandle({
      ...{ record, paths, owners: ownersOf(spec), process: vmm, log, disks, ports, join: started.join },
      ...{ hotDirectory: join(spec.stateDirectory, HOT), runs: runs.promise },
    });
    undo.push("let go of Firecracker", () => handle.detach());
    const beside = options.beside?.(handle);
    // Whoever waits for it hears of its failure.
    const settled = beside?.catch(() => undefined);
    undo.push("wait for what is beside Firecracker", () => settled);
    undo.push("tell it that no guest runs", () => runs.reject(neverRan()));
    await handle.read();
    // A start that failed must end the readers too, or its last words would be waited for without end.
    void vmm.ended.then(() => held.release());
    await untilListening(handle, vmm, options);
    await untilStarted(handle, vmm, options);
    await untilRunning(handle, vmm, options);
    runs.resolve();
    await beside;
    await limited;
    held.release();
    options.signal?.throwIfAborted();
    undo.commit();
    return handle;
  }

  /** kiln's own jail is the closer one: Firecracker's jailer only where somebody names it. */
  async #way(spec: VmmSpec, found: { program: string; version: string }): Promise<LaunchWay> {
    const { runAs } = spec;
    const jailer = await findJailer(this.#options.jailer);
    if (jailer !== undefined && runAs !== undefined) return new JailerWay(spec, runAs, jailer, found);
    const tree = () => this.#tree(found.program);
    return new ConfinedWay(spec, { confiner: this.#confiner, tree, ...found });
  }

  #testBoot(program: string, kernel: ProbeKernel) {
    const { cacheDirectory, kvmDevice = KVM_DEVICE } = this.#options;
    return bootInJail({
      ...{ confiner: this.#confiner, driver: this.kind, program, cacheDirectory },
      tree: () => this.#tree(program),
      ...{ device: kvmDevice, otherDevices: ["/dev/urandom"] },
      plan: (directory, places) => planTestBoot(program, kernel, directory, places),
    });
  }

  async #tree(program: string): Promise<JailTree> {
    const { firecrackerFiles = [], cacheDirectory } = this.#options;
    if (firecrackerFiles.length > 0) return treeWith(firecrackerFiles);
    const known = this.#trees.get(program) ?? firecrackerTrees(program, cacheDirectory);
    this.#trees.set(program, known);
    return known.getOrHost();
  }

  /** Firecracker's jailer has a root of its own. */
  async #exposed(program: string | undefined): Promise<string | undefined> {
    if (program === undefined || this.#options.jailer !== undefined) return undefined;
    return (await this.#tree(program)).exposed;
  }

  async #capabilities({ accelerator, found }: FirecrackerVerdict): Promise<VmmCapabilities> {
    const { userNetwork = NO_NETWORK } = this.#options;
    const network = await userNetwork("tap");
    // A jailer's Firecracker sees no directory that its user may not write.
    const [maxPorts, hotplugDisks] =
      this.#options.jailer === undefined ? [MAX_PORTS, MAX_HOT_DRIVES] : [0, 0];
    const all = capabilitiesOf(accelerator, found.version ?? "0", network.usable);
    return { ...all, maxPorts, hotplugDisks };
  }

  async reattach(record: VmmRecord, spec: ReattachSpec, options: Abortable = {}): Promise<VmmHandle> {
    checkReattach(record, this.kind);
    const cgroup = await this.#confiner.found(spec.vmId, record);
    const vmm = await VmmProcess.attach(record.process, cgroup && (() => cgroup.close()));
    if (vmm === undefined) throw gone(spec);
    await using undo = new UndoStack();
    undo.push("stop watching Firecracker", () => vmm.release());
    const paths = recordedPaths(record.facts, spec.runDirectory);
    const log = await ConsoleLog.resume(record.facts.consoleLog ?? join(spec.stateDirectory, CONSOLE_LOG));
    const disks = recordedSerials(record.facts) ?? (await serialsOfFiles(spec.disks));
    const ports = planPorts(spec.runDirectory, recordedPorts(record, spec));
    const joinLimits = async (pid: number) => cgroup?.add([pid]);
    const handle = new FirecrackerHandle({
      ...{ record, paths, owners: ownersOf(spec), process: vmm, log, disks, ports, join: joinLimits },
      hotDirectory: join(spec.stateDirectory, HOT),
      // What an earlier kilnd has left may not run yet; whoever has the handle finds one that does.
      runs: Promise.resolve(),
    });
    undo.push("let go of Firecracker", () => handle.detach());
    handle.expectAnswers();
    let ended = false;
    void vmm.ended.then(() => {
      ended = true;
    });
    try {
      await handle.read();
      await untilListening(handle, vmm, options);
      await untilRunning(handle, vmm, options);
      await handle.findDisks();
    } catch (error) {
      if (ended) throw gone(spec);
      throw KilnError.from(error, `find Firecracker of VM ${spec.vmId.slice(0, 12)} again`);
    }
    undo.commit();
    return handle;
  }
}

function capabilitiesOf(accelerator: Accelerator, version: string, userNetwork: boolean): VmmCapabilities {
  return {
    accelerator,
    channel: "vsock",
    // Its cards are taps, which is what counts where nothing is told: so its records are those of every release.
    userNetwork,
    networkCards: "tap",
    freePageReporting: hasFreePageReporting(version),
    poweroffExits: false,
    tellsReboot: false,
    pause: true,
    maxDisks: MAX_DISKS,
    maxVcpus: MAX_VCPUS,
  };
}

/** Of its sockets and FIFOs: the VM's user makes those, kilnd these. */
function ownersOf({ runAs }: ReattachSpec): readonly number[] {
  const own = process.getuid?.() ?? 0;
  return runAs === undefined ? [own] : [own, runAs.uid];
}

function unusable(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, why, { reason: "vmm-unusable" });
}

function gone(spec: ReattachSpec): KilnError {
  return new KilnError(Code.NotFound, `the VMM of VM ${spec.vmId.slice(0, 12)} has ended`, {
    reason: "vmm-gone",
  });
}
