// VMs as a noun: whoever is outside the engine names one by a key (its full id, name or unique id prefix) and is shown
// views. What is done to a VM is done by the rooms below.

import type { PortVerbs } from "../attach/vm-ports.js";
import { matchesVm, parseFilters, VM_FILTERS } from "../common/filters.js";
import type { WorkOptions } from "../common/shared-work.js";
import { givenTo } from "../networks/cni-uses.js";
import type { ConsoleChunk } from "../output/console-reader.js";
import type { LogChunk } from "../output/vm-log.js";
import type { EngineContext } from "../run/context.js";
import { follow } from "../run/followers.js";
import type { MountVerbs } from "../run/mount-verbs.js";
import { type CreateRequest, createVm } from "../run/vm-create.js";
import type { StopOptions, VmVerbs, WaitCondition } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import type { Mount } from "../vm/mount-config.js";
import { isLive } from "../vm/state.js";
import { type MountView, VmView } from "../vm/view.js";
import type { PortBinding } from "../vm/vm-config.js";
import type { AttachOutput, AttachSpec, ExecAsk, ExecOutput, ProcessInput } from "../workload/process-io.js";
import type { WorkloadVerbs } from "../workload/verbs.js";
import { attachToVm } from "../workload/vm-attach.js";
import { execInVm } from "../workload/vm-exec.js";
import { type ConsoleAsk, type LogsAsk, readConsole, readLogs } from "../workload/vm-output.js";
import { sampleUsage, type VmUsage } from "../workload/vm-stats.js";
import { VmFiles } from "./vm-files.js";

/** What is done to the VMs of an engine, each kind of thing by who knows how. */
export interface VmsParts {
  readonly verbs: VmVerbs;
  readonly ports: PortVerbs;
  readonly mounts: MountVerbs;
  readonly workloads: WorkloadVerbs;
}

/** Every verb throws KilnError not_found `vm-not-found` where no VM has that key. */
export class Vms {
  /** What lies in VMs. */
  readonly files: VmFiles;
  readonly #ctx: EngineContext;
  readonly #verbs: VmVerbs;
  readonly #ports: PortVerbs;
  readonly #mounts: MountVerbs;
  readonly #workloads: WorkloadVerbs;

  constructor(ctx: EngineContext, { verbs, ports, mounts, workloads }: VmsParts) {
    this.files = new VmFiles(ctx);
    this.#ctx = ctx;
    this.#verbs = verbs;
    this.#ports = ports;
    this.#mounts = mounts;
    this.#workloads = workloads;
  }

  /** See createVm for what it throws. */
  async create(request: CreateRequest, options: WorkOptions = {}): Promise<VmView> {
    return this.#view(await createVm(this.#ctx, request, options));
  }

  find(key: string): VmView {
    return this.#view(this.#entry(key));
  }

  /**
   * @param all false: only those that run
   * @param filters see filters.ts
   */
  list(all: boolean, filters: readonly string[] = []): VmView[] {
    const parsed = parseFilters("ps", filters, VM_FILTERS);
    // A state that is asked for by name is looked for among all of them.
    const everyone = all || parsed.has("status");
    return this.#ctx.vms
      .list()
      .filter((entry) => (everyone || isLive(entry.state)) && matchesVm(entry, parsed))
      .map((entry) => this.#view(entry));
  }

  start(key: string): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.start(entry));
  }

  stop(key: string, options: StopOptions = {}): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.stop(entry, options));
  }

  restart(key: string, options: StopOptions = {}): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.restart(entry, options));
  }

  kill(key: string): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.kill(entry));
  }

  /** @param name or number of a signal; empty: KILL */
  signal(key: string, name: string): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.signal(entry, name));
  }

  pause(key: string): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.pause(entry));
  }

  unpause(key: string): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.unpause(entry));
  }

  /** @param ms from now, and from every later start; 0: none */
  setLifetime(key: string, ms: number): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.setLifetime(entry, ms));
  }

  /**
   * @param force ends it first
   * @param volumes takes those along that were made for it and have no name
   */
  remove(key: string, force: boolean, volumes = false): Promise<VmView> {
    return this.#done(key, (entry) => this.#verbs.remove(entry, force, volumes));
  }

  /** Resolves when the condition holds; see VmVerbs. Who waits for the end is a follower, for whom it is kept. */
  async wait(key: string, condition: WaitCondition, signal?: AbortSignal): Promise<VmView> {
    const entry = this.#entry(key);
    const release = condition === "exited" ? await follow(this.#ctx, entry) : () => undefined;
    try {
      await this.#verbs.wait(entry, condition, { signal });
      return this.#view(entry);
    } finally {
      release();
    }
  }

  /** @returns the binding, on a running VM with the host port that was chosen */
  async addPort(key: string, wanted: PortBinding): Promise<PortBinding> {
    return this.#ports.add(this.#entry(key), wanted);
  }

  async removePort(key: string, wanted: PortBinding): Promise<void> {
    await this.#ports.remove(this.#entry(key), wanted);
  }

  /** Mounts a volume on a VM that runs, at once, and keeps it for every later start. See MountVerbs. */
  async attachVolume(key: string, wanted: Mount): Promise<MountView> {
    const entry = this.#entry(key);
    const target = await this.#mounts.attach(entry, wanted);
    const mount = this.#view(entry).mounts.find((one) => one.mount.target === target);
    return mount ?? { mount: wanted, state: "detached", message: "" };
  }

  /** @param wanted the target, or a volume's name or id */
  async detachVolume(key: string, wanted: string): Promise<void> {
    await this.#mounts.detach(this.#entry(key), wanted);
  }

  /** A program in a VM that runs; with `detach` it is one of `workloads` from then on. */
  exec(
    key: string,
    ask: ExecAsk,
    input: AsyncIterable<ProcessInput>,
    signal?: AbortSignal,
  ): AsyncGenerator<ExecOutput> {
    const entry = this.#entry(key);
    if (ask.kind === "start" && ask.spec.detach) {
      return this.#workloads.start(entry, ask.spec, input, signal);
    }
    return execInVm(this.#ctx, entry, ask, input, signal);
  }

  attach(
    key: string,
    spec: AttachSpec,
    input: AsyncIterable<ProcessInput>,
    signal?: AbortSignal,
  ): AsyncGenerator<AttachOutput> {
    return attachToVm(this.#ctx, this.#verbs, this.#entry(key), spec, input, signal);
  }

  logs(key: string, ask: LogsAsk): AsyncGenerator<LogChunk> {
    return readLogs(this.#ctx, this.#entry(key), ask);
  }

  console(key: string, ask: ConsoleAsk): AsyncGenerator<ConsoleChunk> {
    return readConsole(this.#ctx, this.#entry(key), ask);
  }

  /** @param keys empty: all that run at each sample */
  stats(keys: readonly string[], once: boolean, signal?: AbortSignal): AsyncGenerator<VmUsage[]> {
    const chosen = keys.map((key) => this.#entry(key));
    const select = () =>
      (chosen.length > 0 ? chosen : this.#ctx.vms.list()).filter(({ live }) => live !== undefined);
    return sampleUsage(select, once, signal);
  }

  /** What it was refused of the world outside since it began; 0 of one that does not run. */
  async denied(key: string): Promise<number> {
    return (await this.#entry(key).live?.denied()) ?? 0;
  }

  #view(entry: VmEntry): VmView {
    const { networks, cniUses } = this.#ctx;
    return new VmView(entry, {
      boundsOf: (id) => networks.boundsOf(id),
      givenOf: (vmId, index) => givenTo(cniUses.joinedOf({ vmId, index })),
    });
  }

  #entry(key: string): VmEntry {
    return this.#ctx.vms.find(key);
  }

  async #done(key: string, verb: (entry: VmEntry) => Promise<void>): Promise<VmView> {
    const entry = this.#entry(key);
    await verb(entry);
    return this.#view(entry);
  }
}
