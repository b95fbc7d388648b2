// The engine: everything that kiln can do, for the API. Composes the parts; what they do is in their files.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { PathStat } from "../agent/index.js";
import { KilnError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import { PortVerbs } from "./attach/vm-ports.js";
import type { KilnEvent, ReadEventsOptions } from "./common/events.js";
import { EVENT_FILTERS, matchesEvent, matchesVm, parseFilters, VM_FILTERS } from "./common/filters.js";
import type { WorkOptions } from "./common/shared-work.js";
import { createContext, type EngineOptions } from "./create-context.js";
import { ImageVerbs } from "./images/image-verbs.js";
import { KernelVerbs } from "./kernels/kernel-verbs.js";
import { type ConsoleChunk, type ReadConsoleOptions, readConsole } from "./output/console-reader.js";
import type { OutputPlace } from "./output/log-position.js";
import type { LogChunk, ReadLogOptions } from "./output/vm-log.js";
import type { EngineContext } from "./run/context.js";
import { follow } from "./run/followers.js";
import { armLifetime } from "./run/lifetime-timer.js";
import type { CopyOrder } from "./run/pending-copies.js";
import { loadVms } from "./run/recovery.js";
import { resumeVms } from "./run/takeover.js";
import { inBackground } from "./run/tasks.js";
import { waitForLive } from "./run/vm-access.js";
import { type CreateRequest, createVm } from "./run/vm-create.js";
import { VmRunner } from "./run/vm-runner.js";
import { registerUsers } from "./run/vm-users.js";
import { VmVerbs, type WaitCondition } from "./run/vm-verbs.js";
import { HostWatch } from "./system/host-watch.js";
import { SystemVerbs } from "./system/system-verbs.js";
import type { VmEntry } from "./vm/entry.js";
import { isLive } from "./vm/state.js";
import type { AttachOutput, AttachSpec, ExecAsk, ExecOutput, ProcessInput } from "./workload/process-io.js";
import type { WorkloadSets } from "./workload/sets.js";
import { WorkloadVerbs } from "./workload/verbs.js";
import { attachToVm } from "./workload/vm-attach.js";
import { execInVm } from "./workload/vm-exec.js";
import { readArchive, statPath, type WriteOutcome, writeArchive } from "./workload/vm-files.js";
import {
  listDirectory,
  makeDirectory as makeVmDirectory,
  removePath,
  renamePath,
  watchPath,
} from "./workload/vm-paths.js";
import { sampleUsage, type VmUsage } from "./workload/vm-stats.js";

const KERNEL_IMAGE_TEMP = "kernel-image-";

/** All nouns and their verbs over one data root. Whoever makes one holds the locks of its roots. */
export class Engine {
  readonly verbs: VmVerbs;
  readonly ports: PortVerbs;
  /** Paths of running VMs. */
  readonly paths = {
    list: listDirectory,
    make: makeVmDirectory,
    remove: removePath,
    rename: renamePath,
    watch: watchPath,
  };
  /** Programs that run beside the main one and need nobody to attend to them. */
  readonly workloads: WorkloadVerbs;
  readonly images: ImageVerbs;
  readonly kernels: KernelVerbs;
  readonly system: SystemVerbs;
  readonly #ctx: EngineContext;
  readonly #sets: WorkloadSets;
  readonly #runner: VmRunner;
  readonly #watch: HostWatch;
  #recovered: Promise<void> = Promise.resolve();
  readonly #leaving = new AbortController();
  readonly #closed = new AbortController();

  constructor(options: EngineOptions) {
    const ctx = createContext(options, { leaving: this.#leaving.signal, closed: this.#closed.signal });
    this.#ctx = ctx;
    this.#sets = ctx.companions;
    this.workloads = new WorkloadVerbs(ctx, ctx.companions);
    this.#runner = new VmRunner(ctx);
    this.verbs = new VmVerbs(ctx, this.#runner);
    this.#runner.onLive = (entry) => this.#lives(entry);
    this.ports = new PortVerbs(ctx);
    this.images = new ImageVerbs(ctx);
    this.kernels = new KernelVerbs(ctx);
    this.#watch = new HostWatch(ctx, this.verbs);
    const parts = { vms: this.verbs, images: this.images, kernels: this.kernels, watch: this.#watch };
    this.system = new SystemVerbs(ctx, parts);
  }

  /**
   * Reads the state on disk and repairs it. When it resolves, lists and names are right; VMs that live are being
   * taken over, which `recovered` waits for.
   */
  async open(): Promise<void> {
    const { dataRoot, runRoot, ownership, mark, rooms, bases, kernels } = this.#ctx;
    for (const root of [dataRoot, runRoot]) {
      await makeDirectory(root);
      await ownership.openPassage(root);
    }
    await mark.open(dataRoot, this.#ctx.log);
    await removeTemporary(dataRoot);
    // A tree that a kill left takes seconds to remove, and nobody waits for it.
    rooms.kernelBuilder.open().catch((error: unknown) => {
      this.#ctx.log.warn("could not tidy up after kernel builds", { why: KilnError.from(error).message });
    });
    await Promise.all([rooms.images.open(), rooms.kernels.open(), bases.open(), kernels.open()]);
    await loadVms(this.#ctx, this.#runner);
    await this.#sets.load(this.#ctx.vms.list());
    await registerUsers(this.#ctx);
    this.#recovered = resumeVms(this.#ctx, this.#runner);
    this.#watch.start();
  }

  /** Resolves once every VM that lives is watched, and taken over where its VMM answers. Never rejects. */
  get recovered(): Promise<void> {
    return this.#recovered;
  }

  /** Clients that are cut off from now on have not left: their programs are for the next kilnd. */
  leave(): void {
    this.#leaving.abort();
  }

  /** Lets go of everything. VMs go on. */
  async close(): Promise<void> {
    this.leave();
    this.#watch.close();
    this.#closed.abort();
    await this.#runner.close();
    await this.#sets.detach(this.#ctx.vms.list());
  }

  #lives(entry: VmEntry): void {
    armLifetime(this.#ctx, entry, (over) => this.verbs.expire(over));
    // The kilnd that was stopping it has gone.
    if (entry.state === "stopping") inBackground(this.#ctx, entry, () => this.verbs.goOnStopping(entry));
  }

  create(request: CreateRequest, options: WorkOptions = {}): Promise<VmEntry> {
    return createVm(this.#ctx, request, options);
  }

  /** By full id, name or unique id prefix. @throws KilnError not_found `vm-not-found` */
  find(key: string): VmEntry {
    return this.#ctx.vms.find(key);
  }

  /**
   * @param all false: only those that run
   * @param filters see filters.ts
   */
  list(all: boolean, filters: readonly string[] = []): VmEntry[] {
    const parsed = parseFilters("ps", filters, VM_FILTERS);
    // A state that is asked for by name is looked for among all of them.
    const everyone = all || parsed.has("status");
    return this.#ctx.vms
      .list()
      .filter((entry) => (everyone || isLive(entry.state)) && matchesVm(entry, parsed));
  }

  exec(
    key: string,
    ask: ExecAsk,
    input: AsyncIterable<ProcessInput>,
    signal?: AbortSignal,
  ): AsyncGenerator<ExecOutput> {
    const entry = this.find(key);
    if (ask.kind === "start" && ask.spec.detach) {
      return this.workloads.start(entry, ask.spec, input, signal);
    }
    return execInVm(this.#ctx, entry, ask, input, signal);
  }

  attach(
    entry: VmEntry,
    spec: AttachSpec,
    input: AsyncIterable<ProcessInput>,
    signal?: AbortSignal,
  ): AsyncGenerator<AttachOutput> {
    return attachToVm(this.#ctx, this.verbs, entry, spec, input, signal);
  }

  /** The program's output, also of a VM that has ended. */
  async *logs(
    key: string,
    options: ReadLogOptions & { after?: OutputPlace | undefined },
  ): AsyncGenerator<LogChunk> {
    const entry = this.find(key);
    const { after, ...rest } = options;
    // To follow a VM that a new kilnd is still taking over is to wait for it.
    if (options.follow === true && !entry.log.live) await waitForLive(entry, options.signal);
    const release = options.follow === true ? await follow(this.#ctx, entry) : entry.log.hold();
    try {
      const from =
        after === undefined
          ? {}
          : { from: await entry.log.placeOf(after), tail: undefined, since: undefined };
      yield* entry.log.read({ ...rest, ...from });
    } finally {
      release();
    }
  }

  /** True where all that is said goes to the console: an init of the image's own has that as its stdout. */
  speaksOnConsole(key: string): boolean {
    return this.find(key).record.program.mode === "system";
  }

  /** The console: the kernel's, and that of an init of the image's own. */
  async *console(
    key: string,
    options: Omit<ReadConsoleOptions, "following"> & { readonly follow: boolean },
  ): AsyncGenerator<ConsoleChunk> {
    const { follow: follows, ...rest } = options;
    const entry = this.find(key);
    // Its file goes with the VM: of one that is removed at its end the last words are still to be read.
    const release = follows ? await follow(this.#ctx, entry) : entry.log.hold();
    try {
      const { consoleLog } = entry.status;
      if (consoleLog === "") return;
      yield* readConsole(consoleLog, { ...rest, following: () => follows && isLive(entry.state) });
    } finally {
      release();
    }
  }

  /** Resolves when the condition holds; see VmVerbs. Who waits for the end is a follower, for whom it is kept. */
  async wait(key: string, condition: WaitCondition, signal: AbortSignal | undefined): Promise<VmEntry> {
    const entry = this.find(key);
    const release = condition === "exited" ? await follow(this.#ctx, entry) : () => undefined;
    try {
      await this.verbs.wait(entry, condition, { signal });
      return entry;
    } finally {
      release();
    }
  }

  readArchive(
    key: string,
    path: string,
    followLink: boolean,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    return readArchive(this.find(key), path, followLink, signal);
  }

  writeArchive(
    key: string,
    order: CopyOrder,
    tar: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<WriteOutcome> {
    return writeArchive(this.#ctx, this.find(key), order, tar, signal);
  }

  statPath(key: string, path: string, signal?: AbortSignal): Promise<PathStat> {
    return statPath(this.find(key), path, signal);
  }

  /** @param keys empty: all that run at each sample */
  stats(keys: readonly string[], once: boolean, signal?: AbortSignal): AsyncGenerator<VmUsage[]> {
    const chosen = keys.map((key) => this.find(key));
    const select = () =>
      (chosen.length > 0 ? chosen : this.list(false)).filter((entry) => entry.live !== undefined);
    return sampleUsage(select, once, signal);
  }

  async *events(options: ReadEventsOptions & { filters?: readonly string[] }): AsyncGenerator<KilnEvent> {
    const filters = parseFilters("events", options.filters ?? [], EVENT_FILTERS);
    for await (const event of this.#ctx.events.read(options)) {
      if (matchesEvent(event, filters) || event.action === "events-lost") yield event;
    }
  }
}

async function removeTemporary(dataRoot: string): Promise<void> {
  try {
    for (const name of await readdir(dataRoot)) {
      if (name.startsWith(KERNEL_IMAGE_TEMP))
        await rm(join(dataRoot, name), { recursive: true, force: true });
    }
  } catch (error) {
    throw KilnError.from(error, `open ${dataRoot}`);
  }
}
