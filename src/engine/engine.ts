// The engine: everything that kiln can do, by its nouns. Composes the parts; what they do is in their files.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { KilnError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import { PortVerbs } from "./attach/vm-ports.js";
import { createContext, type EngineOptions } from "./create-context.js";
import { ImageVerbs } from "./images/image-verbs.js";
import { KernelVerbs } from "./kernels/kernel-verbs.js";
import { Events } from "./nouns/events.js";
import { Networks } from "./nouns/networks.js";
import { Vms } from "./nouns/vms.js";
import { Volumes } from "./nouns/volumes.js";
import { Workloads } from "./nouns/workloads.js";
import { ConnectVerbs } from "./run/connect-verbs.js";
import type { EngineContext } from "./run/context.js";
import { armLifetime } from "./run/lifetime-timer.js";
import { MountVerbs } from "./run/mount-verbs.js";
import { NameKeeper } from "./run/name-keeper.js";
import { cardsInUse, cniCardsInUse, leaveEnded } from "./run/network-cards.js";
import { loadVms } from "./run/recovery.js";
import { resumeVms } from "./run/takeover.js";
import { inBackground } from "./run/tasks.js";
import { VmRunner } from "./run/vm-runner.js";
import { registerUsers } from "./run/vm-users.js";
import { VmVerbs } from "./run/vm-verbs.js";
import { HostWatch } from "./system/host-watch.js";
import { SystemVerbs } from "./system/system-verbs.js";
import type { VmEntry } from "./vm/entry.js";
import { isLive } from "./vm/state.js";
import { WorkloadVerbs } from "./workload/verbs.js";
import { removeCarriers } from "./workload/volume-carrier.js";

const KERNEL_IMAGE_TEMP = "kernel-image-";

/** What the nouns stand on. */
interface EngineParts {
  readonly ctx: ReturnType<typeof createContext>;
  readonly verbs: VmVerbs;
  readonly workloads: WorkloadVerbs;
}

/**
 * All nouns and their verbs over one data root. Whoever makes one holds the locks of its roots. Things are named by keys
 * and shown as they are; nothing that leaves it can be changed.
 */
export class Engine {
  readonly vms: Vms;
  /** Programs that run beside the main one and need nobody to attend to them. */
  readonly workloads: Workloads;
  readonly images: ImageVerbs;
  readonly kernels: KernelVerbs;
  readonly volumes: Volumes;
  readonly networks: Networks;
  readonly system: SystemVerbs;
  readonly events: Events;
  /** For the engine's own tests, which look inside. */
  protected readonly inner: EngineParts;
  readonly #runner: VmRunner;
  readonly #watch: HostWatch;
  #recovered: Promise<void> = Promise.resolve();
  readonly #leaving = new AbortController();
  readonly #closed = new AbortController();

  constructor(options: EngineOptions) {
    const ctx = createContext(options, { leaving: this.#leaving.signal, closed: this.#closed.signal });
    this.#runner = new VmRunner(ctx);
    const verbs = new VmVerbs(ctx, this.#runner);
    const names = new NameKeeper(ctx);
    ctx.networkUses.onChange = ctx.cniUses.onChange = () => names.changed();
    this.#runner.onLive = (entry) => {
      tendLive(ctx, verbs, entry);
      names.follow(entry);
    };
    const workloads = new WorkloadVerbs(ctx, ctx.companions);
    this.inner = { ctx, verbs, workloads };
    this.vms = new Vms(ctx, { verbs, ports: new PortVerbs(ctx), mounts: new MountVerbs(ctx), workloads });
    this.workloads = new Workloads(ctx.vms, workloads);
    this.images = new ImageVerbs(ctx);
    this.kernels = new KernelVerbs(ctx);
    this.volumes = new Volumes(ctx, verbs);
    this.networks = new Networks(ctx, new ConnectVerbs(ctx));
    this.#watch = new HostWatch(ctx, verbs);
    const parts = {
      vms: verbs,
      images: this.images,
      kernels: this.kernels,
      volumes: this.volumes,
      networks: this.networks,
      watch: this.#watch,
    };
    this.system = new SystemVerbs(ctx, parts);
    this.events = new Events(ctx.events);
  }

  /**
   * Reads the state on disk and repairs it. When it resolves, lists and names are right; VMs that live are being
   * taken over, which `recovered` waits for.
   */
  async open(): Promise<void> {
    const { ctx, verbs } = this.inner;
    const { dataRoot, runRoot, ownership, mark, rooms, bases, kernels, volumes, networks } = ctx;
    for (const root of [dataRoot, runRoot]) {
      await makeDirectory(root);
      await ownership.openPassage(root);
    }
    await mark.open(dataRoot, ctx.log);
    await removeTemporary(dataRoot);
    // A tree that a kill left takes seconds to remove, and nobody waits for it.
    rooms.kernelBuilder.open().catch((error: unknown) => {
      ctx.log.warn("could not tidy up after kernel builds", { why: KilnError.from(error).message });
    });
    await Promise.all([
      rooms.images.open(),
      rooms.kernels.open(),
      bases.open(),
      kernels.open(),
      volumes.open(),
      networks.open(),
    ]);
    await loadVms(ctx, this.#runner);
    await ctx.companions.load(ctx.vms.list());
    await registerUsers(ctx);
    // Not waited for: whoever is put on a network does that.
    void ctx.networkUses.find(...cardsInUse(ctx));
    await ctx.cniUses.recall(cniCardsInUse(ctx));
    void ctx.cniUses.find(cniCardsInUse(ctx));
    const ran = ctx.vms.list().filter(({ state }) => isLive(state));
    const recovered = resumeVms(ctx, this.#runner).then(() => leaveEnded(ctx, ran));
    // In nobody's way: what an export or import of the last kilnd's has left.
    this.#recovered = recovered.then(() => removeCarriers(ctx, verbs));
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
    const { ctx } = this.inner;
    this.leave();
    this.#watch.close();
    this.#closed.abort();
    ctx.networkUses.close();
    await this.#runner.close();
    await ctx.companions.detach(ctx.vms.list());
  }
}

function tendLive(ctx: EngineContext, verbs: VmVerbs, entry: VmEntry): void {
  armLifetime(ctx, entry, (over) => verbs.expire(over));
  // The kilnd that was stopping it has gone.
  if (entry.state === "stopping") inBackground(ctx, entry, () => verbs.goOnStopping(entry));
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
