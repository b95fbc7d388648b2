// About the whole of kiln: what the host offers, what is used, what may go.

import { KilnError } from "../../base/errors.js";
import { directoryBytes } from "../../base/files.js";
import type { Confinement } from "../../vmm/index.js";
import type { VmmProbe } from "../../vmm/types.js";
import { type Filters, matchesPrune } from "../common/filters.js";
import type { ImageVerbs } from "../images/image-verbs.js";
import type { KernelVerbs, ListedKernel } from "../kernels/kernel-verbs.js";
import type { NetworkVerbs } from "../networks/network-verbs.js";
import type { EngineContext } from "../run/context.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import { hasBegun } from "../vm/lifetime.js";
import { isLive } from "../vm/state.js";
import type { VolumeVerbs } from "../volumes/volume-verbs.js";
import type { HostWatch } from "./host-watch.js";
import { type DiskUsage, diskUsage } from "./usage.js";

/** A VMM as this host has it, and whether VMs get it where nobody names one. */
export interface ListedVmm extends VmmProbe {
  readonly chosen: boolean;
}

export interface SystemInfo {
  readonly vmms: readonly ListedVmm[];
  readonly kernel: ListedKernel | undefined;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskFreeBytes: number;
  readonly vms: number;
  readonly vmsRunning: number;
  readonly images: number;
  readonly warnings: readonly string[];
  readonly confinement: readonly ConfinementPart[];
}

/** A part of what confines VMMs on this host. */
export interface ConfinementPart {
  readonly part: string;
  readonly holds: boolean;
  readonly why: string;
}

export interface Pruned {
  readonly vms: readonly string[];
  readonly images: readonly string[];
  readonly bases: readonly string[];
  /** Names. */
  readonly volumes: readonly string[];
  /** Names. */
  readonly networks: readonly string[];
  readonly bytes: number;
}

/** What is in the way of named networks, where there are any: others' firewalls are nobody's business else. */
async function warnOfNetworks({ networks, rooms }: EngineContext): Promise<string[]> {
  if (rooms.bridges === undefined || networks.list().length === 0) return [];
  try {
    const { usable, why, warnings } = await rooms.bridges.look();
    return usable ? [...warnings] : [why];
  } catch (error) {
    return [KilnError.from(error).message];
  }
}

export class SystemVerbs {
  readonly #ctx: EngineContext;
  readonly #vms: VmVerbs;
  readonly #images: ImageVerbs;
  readonly #kernels: KernelVerbs;
  readonly #volumes: VolumeVerbs;
  readonly #networks: NetworkVerbs;
  readonly #watch: HostWatch;

  constructor(
    ctx: EngineContext,
    parts: {
      vms: VmVerbs;
      images: ImageVerbs;
      kernels: KernelVerbs;
      volumes: VolumeVerbs;
      networks: NetworkVerbs;
      watch: HostWatch;
    },
  ) {
    this.#ctx = ctx;
    this.#vms = parts.vms;
    this.#images = parts.images;
    this.#kernels = parts.kernels;
    this.#volumes = parts.volumes;
    this.#networks = parts.networks;
    this.#watch = parts.watch;
  }

  async info(): Promise<SystemInfo> {
    const { host, dataRoot, vms, rooms } = this.#ctx;
    const entries = vms.list();
    const vmms = await this.#vmms();
    const confinement = await rooms.vmms.confinement();
    const chosen = rooms.kernels.default();
    return {
      vmms,
      kernel: chosen === undefined ? undefined : this.#kernels.describe(chosen.kernel),
      cpus: host.facts.cpus,
      memoryBytes: host.facts.memoryBytes,
      diskFreeBytes: await host.freeDisk(dataRoot),
      vms: entries.length,
      vmsRunning: entries.filter((entry) => isLive(entry.state)).length,
      images: rooms.images.list().length,
      warnings: [
        ...(await this.#watch.warnings()),
        ...this.#standing(vmms, chosen === undefined),
        ...(await warnOfNetworks(this.#ctx)),
        ...warnOf(confinement),
        ...warnOfExposed(vmms),
      ],
      confinement: [...partsOf(confinement), ...(confinement.jail.holds ? filesOf(vmms) : [])],
    };
  }

  /** @param asked `items`: each object by itself too */
  diskUsage({ items = false }: { readonly items?: boolean } = {}): Promise<DiskUsage> {
    return diskUsage(this.#ctx, { items });
  }

  /**
   * Removes VMs that have ended (and those never started), images without a name (with `all` every unused one),
   * bases and modules disks that nothing needs, downloads nobody finished, networks that no VM has, and what removals could not take away; with `all` also what kernel builds keep
   * so as not to build again; with `volumes` also volumes without a name that no VM has.
   *
   * @throws KilnError of the first VM that could not be removed; all the others were tried
   */
  async prune(all: boolean, filters: Filters, volumes = false): Promise<Pruned> {
    const vms: string[] = [];
    const failed: unknown[] = [];
    let bytes = 0;
    for (const entry of this.#ctx.vms.list()) {
      // One that its policy is about to bring back has not ended.
      if (hasBegun(entry.status) || !matchesPrune(entry, filters, this.#ctx.now())) continue;
      const own = await directoryBytes(this.#ctx.store.directory(entry.id));
      if (entry.removing) continue; // while that was counted
      try {
        if ((await this.#vms.removeEnded(entry)) !== undefined) continue;
        bytes += own;
        vms.push(entry.id);
      } catch (error) {
        failed.push(error);
      }
    }
    // After the VMs, which had them.
    const disks = volumes ? await this.#volumes.pruneMatching(false, filters) : { names: [], bytes: 0 };
    const networks = await this.#networks.pruneMatching(filters);
    const images = await this.#images.prune(all);
    const bases = await this.#images.collectBases(all);
    bytes += disks.bytes + images.bytes + bases.bytes + (await this.#ctx.kernels.collect());
    for (const owner of [
      this.#ctx.store,
      this.#ctx.volumes,
      this.#ctx.networks,
      this.#ctx.bases,
      this.#ctx.rooms.kernels,
    ]) {
      bytes += await owner.clearLeftovers();
    }
    if (all) bytes += await this.#ctx.rooms.kernelBuilder.clear();
    await this.#ctx.cniUses.collect().catch((error: unknown) => failed.push(error));
    if (failed.length > 0) throw failed[0];
    return { vms, images: images.deleted, bases: bases.keys, volumes: disks.names, networks, bytes };
  }

  async #vmms(): Promise<ListedVmm[]> {
    const { vmms } = this.#ctx.rooms;
    const probes = await vmms.probes();
    const choice = await vmms.choose(this.#ctx.settings.vmm).catch((_: KilnError) => undefined); // said below
    return probes.map((probe) => ({ ...probe, chosen: choice?.driver.kind === probe.kind }));
  }

  /** What a user should know, whatever happens now. */
  #standing(vmms: readonly ListedVmm[], noKernel: boolean): string[] {
    const warnings: string[] = [];
    const chosen = vmms.find((vmm) => vmm.chosen);
    if (chosen === undefined) warnings.push("no VMM works on this host: VMs can't be started");
    if (chosen?.capabilities?.accelerator === "tcg") {
      warnings.push("KVM does not work here: VMs run by software emulation, several times slower");
    }
    if (noKernel)
      warnings.push("no kernel yet: the first VM fetches Debian's, or bring one with `kiln kernel import`");
    for (const { shortId, name, recordFlaw } of this.#ctx.vms.list()) {
      if (recordFlaw !== undefined) warnings.push(`VM ${name} (${shortId}) can't be started: ${recordFlaw}`);
    }
    return warnings;
  }
}

/** Which parts hold here, and why not. Pure. */
function partsOf({ jail, cgroups }: Confinement): ConfinementPart[] {
  const limits = cgroups.controllers.join(", ");
  return [
    { part: "jail", holds: jail.holds, why: jail.why },
    { part: "cgroup", holds: limits !== "", why: cgroups.why },
  ];
}

/** What jails show of the host. Pure. */
function filesOf(vmms: readonly ListedVmm[]): ConfinementPart[] {
  return vmms
    .filter(({ usable }) => usable)
    .map(({ kind, exposed }) => ({
      part: `${kind}'s files`,
      holds: exposed === undefined,
      why: exposed === undefined ? "no programs but its own" : `all of /usr is shown: ${exposed}`,
    }));
}

function warnOfExposed(vmms: readonly ListedVmm[]): string[] {
  return vmms
    .filter(({ chosen, exposed }) => chosen && exposed !== undefined)
    .map(
      ({ kind, exposed }) => `jails of ${kind} show all of the host's programs, not just its own: ${exposed}`,
    );
}

function warnOf({ jail, unconfinedAllowed }: Confinement): string[] {
  if (jail.holds) return [];
  const hint = jail.hint === undefined ? "" : ` (${jail.hint})`;
  return unconfinedAllowed
    ? [
        `VMMs run WITHOUT A JAIL, as allow-unconfined says: a guest that breaks out has this user's rights: ${jail.why}${hint}`,
      ]
    : [`VMs under QEMU can't be started: no jail can be made: ${jail.why}${hint}`];
}
