// Looks after the host while VMs run: tells of a disk or memory that runs short before it hurts, stops guests before
// their writes fail on a full disk, and lets them go on once there is room again.

import { Alarm } from "../../base/alarm.js";
import { KilnError } from "../../base/errors.js";
import { formatMemory, formatSize } from "../../base/units.js";
import type { EngineContext } from "../run/context.js";
import { within } from "../run/run-end.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";

export type Shortage = "disk" | "memory";

export interface HostLook {
  readonly freeDisk: number;
  readonly availableMemory: number;
}

/** What is short now. Pure. */
export function shortagesOf(look: HostLook, diskReserve: number, memoryReserve: number): Shortage[] {
  const short: Shortage[] = [];
  if (look.freeDisk < diskReserve) short.push("disk");
  if (look.availableMemory < memoryReserve) short.push("memory");
  return short;
}

/** Part of the disk reserve below which guests are stopped: not every VMM stops at a failed write by itself. */
const CRITICAL_PART = 0.25;

/** What to do with running guests. Pure. */
export function verdictOnGuests(freeDisk: number, diskReserve: number): "stop" | "go-on" | "leave" {
  if (freeDisk < diskReserve * CRITICAL_PART) return "stop";
  return freeDisk >= diskReserve ? "go-on" : "leave";
}

const DISK_FULL = "host-disk-full";

/** What is to be done to some of the VMs. */
interface Wish {
  readonly concerns: (entry: VmEntry) => boolean;
  readonly act: (entry: VmEntry) => Promise<void>;
}

/** How much more often to look while the disk is short. */
const HURRY = 10;

export class HostWatch {
  readonly #ctx: EngineContext;
  readonly #verbs: VmVerbs;
  readonly #next = new Alarm({ keepsAlive: false });
  #watching = false;
  #short: readonly Shortage[] = [];
  #verdict: ReturnType<typeof verdictOnGuests> = "leave";
  /** Ids of those that are being stopped or let go on: at each of them there is one such wish at a time. */
  readonly #busy = new Set<string>();

  constructor(ctx: EngineContext, verbs: VmVerbs) {
    this.#ctx = ctx;
    this.#verbs = verbs;
  }

  start(): void {
    const { hostWatchMs } = this.#ctx.settings;
    const wait = this.#short.includes("disk") ? hostWatchMs / HURRY : hostWatchMs;
    this.#watching = true;
    this.#next.after(wait, () => void this.#again());
  }

  close(): void {
    this.#watching = false;
    this.#next.clear();
  }

  async #again(): Promise<void> {
    await this.look();
    if (this.#watching) this.start();
  }

  /** What is short now, in words, for `kiln info`. */
  async warnings(): Promise<string[]> {
    const look = await this.#measure();
    return this.#shortages(look).map((what) => this.#words(what, look));
  }

  /** One look: events for what has changed, and VMs that may go on. Never rejects. */
  async look(): Promise<void> {
    const { log, events } = this.#ctx;
    try {
      const look = await this.#measure();
      const short = this.#shortages(look);
      for (const what of short.filter((known) => !this.#short.includes(known))) {
        const message = this.#words(what, look);
        log.warn(message);
        events.emit({ type: "system", action: `${what}-short`, id: "", attributes: { message } });
      }
      for (const what of this.#short.filter((known) => !short.includes(known))) {
        events.emit({ type: "system", action: `${what}-ok`, id: "", attributes: {} });
      }
      this.#short = short;
      this.#verdict = verdictOnGuests(look.freeDisk, this.#ctx.settings.diskReserveBytes);
      if (this.#verdict === "stop") await this.#stopGuests(look.freeDisk);
      else if (this.#verdict === "go-on") await this.#letGoOn();
    } catch (error) {
      log.warn("the host can't be looked at", { why: KilnError.from(error).message });
    }
  }

  async #stopGuests(freeDisk: number): Promise<void> {
    const message = `only ${formatSize(freeDisk)} of the host's disk are free; the VM goes on when there is room`;
    const isDue = () => this.#verdict === "stop";
    await this.#forAll("a VM can't be stopped before the disk is full", {
      concerns: ({ state }) => state === "running",
      act: (entry) => {
        this.#ctx.log.warn("the VM is stopped: the host's disk is full", { vm: entry.shortId, why: message });
        return this.#verbs.pause(entry, { reason: DISK_FULL, message, isDue });
      },
    });
  }

  #letGoOn(): Promise<void> {
    const stands = ({ state, status }: VmEntry) => state === "paused" && status.reason === DISK_FULL;
    return this.#forAll("a VM that stood still at a full disk can't go on", {
      concerns: stands,
      // Its user may have paused it meanwhile.
      act: (entry) => this.#verbs.unpause(entry, () => this.#verdict === "go-on" && stands(entry)),
    });
  }

  /**
   * All at once, and no longer than to the next look: a VM whose lock is held by a verb that takes its time keeps no
   * other's disk from filling. Its own turn comes.
   */
  async #forAll(failure: string, { concerns, act }: Wish): Promise<void> {
    const acts = this.#ctx.vms
      .list()
      .filter((entry) => concerns(entry) && !this.#busy.has(entry.id))
      .map(async (entry) => {
        this.#busy.add(entry.id);
        try {
          await act(entry);
        } catch (error) {
          this.#ctx.log.warn(failure, { vm: entry.shortId, why: KilnError.from(error).message });
        } finally {
          this.#busy.delete(entry.id);
        }
      });
    await within(this.#ctx.settings.hostWatchMs, Promise.all(acts));
  }

  async #measure(): Promise<HostLook> {
    const { host, dataRoot } = this.#ctx;
    const [freeDisk, availableMemory] = await Promise.all([host.freeDisk(dataRoot), host.availableMemory()]);
    return { freeDisk, availableMemory };
  }

  #shortages(look: HostLook): Shortage[] {
    const { diskReserveBytes, memoryReserveBytes } = this.#ctx.settings;
    return shortagesOf(look, diskReserveBytes, memoryReserveBytes);
  }

  #words(what: Shortage, look: HostLook): string {
    return what === "disk"
      ? `only ${formatSize(look.freeDisk)} of disk are free at ${this.#ctx.dataRoot}: nothing new is made below the reserve`
      : `only ${formatMemory(look.availableMemory)} of memory are available: no VM is started below the reserve`;
  }
}
