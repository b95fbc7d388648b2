// The guest as a machine: how far it has come, its boot and its end, its clock, its disks, what it uses. What it says of
// itself is its own word, and bounded here.

import type { Client } from "@connectrpc/connect";
import type { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import { type BootResponse, type BootTimings, Phase } from "../gen/kiln/agent/v1/machine_pb.js";
import type { StatsResponse } from "../gen/kiln/agent/v1/stats_pb.js";
import {
  asksForMounts,
  type BootOrder,
  bootRequest,
  type CardChange,
  cardRequest,
  type HostLine,
  hostEntries,
} from "./boot-order.js";
import type { Features } from "./features.js";
import { boundedCount, boundedMilliseconds, boundedProcesses } from "./guest-numbers.js";
import type { CallLimits } from "./limits.js";

/** "held": the root is there, the program waits; "unknown": what an agent says that is newer than we are. */
export type GuestPhase = "waiting" | "booting" | "held" | "running" | "exited" | "ending" | "unknown";

export interface MachineState {
  readonly phase: GuestPhase;
  /** The main program has ended. */
  readonly hasEnded: boolean;
}

/** When each step was done, milliseconds of the guest's own clock. */
export interface BootMilliseconds {
  readonly initMs: number;
  readonly modulesMs: number;
  readonly helloMs: number;
  readonly rootMs: number;
  readonly startedMs: number;
}

export interface BootAnswer {
  /** False: it is held, or could not be started; its end says why. */
  readonly programRuns: boolean;
  readonly held: boolean;
  readonly timings: BootMilliseconds | undefined;
  /** Ids of the mounts that were to be filled, and are full now. Told by the boot, not by the start of its program. */
  readonly filled: readonly string[];
}

/** What a guest says it uses. */
export interface MachineStats {
  readonly memoryTotalBytes: bigint;
  readonly memoryAvailableBytes: bigint;
  readonly netRxBytes: bigint;
  readonly netTxBytes: bigint;
  readonly blockReadBytes: bigint;
  readonly blockWriteBytes: bigint;
  readonly processes: number;
}

export interface GuestMachine {
  state(limits?: CallLimits): Promise<MachineState>;
  /**
   * Builds the root and starts the program. Once for each boot of the guest.
   *
   * @throws KilnError failed_precondition `agent-too-old` before anything is done, where the agent would leave mounts out;
   * `guest-...` where one can't be made: the guest ends then
   */
  boot(order: BootOrder, limits?: CallLimits): Promise<BootAnswer>;
  /** Of a boot that was held. Once. */
  startProgram(limits?: CallLimits): Promise<BootAnswer>;
  /** The program's end is stored: the guest brings its disks to rest and ends. */
  ackExit(limits?: CallLimits): Promise<void>;
  /** Nanoseconds of its clock; undefined where the agent of an older kiln tells no time. */
  clock(limits?: CallLimits): Promise<bigint | undefined>;
  /**
   * The names of others in its /etc/hosts, instead of those that it was told before.
   *
   * @throws KilnError failed_precondition `agent-too-old`
   */
  setNames(names: readonly HostLine[], limits?: CallLimits): Promise<void>;
  /**
   * Sets up cards that have come or changed, and lets go of those that are about to be taken away.
   *
   * @throws KilnError failed_precondition `agent-too-old` before anything is done; not_found `guest-not-found` where a card does
   *   not come in time
   */
  changeCards(change: CardChange, limits?: CallLimits): Promise<void>;
  /** Moves its clock by so many nanoseconds. */
  stepClock(stepNs: bigint, limits?: CallLimits): Promise<void>;
  /** sync(2). */
  sync(limits?: CallLimits): Promise<void>;
  stats(limits?: CallLimits): Promise<MachineStats>;
}

const PHASES: ReadonlyMap<Phase, GuestPhase> = new Map([
  [Phase.WAITING, "waiting"],
  [Phase.BOOTING, "booting"],
  [Phase.HELD, "held"],
  [Phase.RUNNING, "running"],
  [Phase.EXITED, "exited"],
  [Phase.ENDING, "ending"],
]);

export function machineOver(client: Client<typeof AgentService>, features: Features): GuestMachine {
  return {
    state: async (limits) => {
      const { phase, exit } = await client.state({}, limits);
      return { phase: PHASES.get(phase) ?? "unknown", hasEnded: exit !== undefined };
    },
    boot: async (order, limits) => {
      if (asksForMounts(order)) await features.need("mounts", "boot with mounts", limits);
      return bootAnswer(await client.boot(bootRequest(order), limits), fillsOf(order));
    },
    startProgram: async (limits) => bootAnswer(await client.startProgram({}, limits), []),
    ackExit: async (limits) => {
      await client.ackExit({}, limits);
    },
    clock: async (limits) => {
      const { clockUnixNs } = await client.state({}, limits);
      return clockUnixNs === 0n ? undefined : clockUnixNs;
    },
    setNames: async (names, limits) => {
      await features.need("names", "tell the names of other VMs", limits);
      await client.setNames({ names: hostEntries(names) }, limits);
    },
    changeCards: async (change, limits) => {
      await features.need("cards", "change the network cards of a running VM", limits);
      await client.configureNetwork(cardRequest(change), limits);
    },
    stepClock: async (stepNs, limits) => {
      await client.setClock({ stepNs }, limits);
    },
    sync: async (limits) => {
      await client.sync({}, limits);
    },
    stats: async (limits) => boundedStats(await client.stats({}, limits)),
  };
}

function bootAnswer(answer: BootResponse, fills: readonly string[]): BootAnswer {
  const { pid, held, timings, filled } = answer;
  return {
    programRuns: pid !== 0,
    held,
    timings: timings && boundedTimings(timings),
    filled: fills.filter((id) => filled.includes(id)),
  };
}

/** Of no other does a guest's word count. */
function fillsOf({ mounts = [] }: BootOrder): string[] {
  return mounts.filter(({ source }) => source.kind === "disk" && source.fill).map(({ id }) => id);
}

function boundedTimings({ initUs, modulesUs, helloUs, rootUs, startedUs }: BootTimings): BootMilliseconds {
  return {
    initMs: boundedMilliseconds(initUs),
    modulesMs: boundedMilliseconds(modulesUs),
    helloMs: boundedMilliseconds(helloUs),
    rootMs: boundedMilliseconds(rootUs),
    startedMs: boundedMilliseconds(startedUs),
  };
}

function boundedStats(stats: StatsResponse): MachineStats {
  return {
    memoryTotalBytes: boundedCount(stats.memoryTotalBytes),
    memoryAvailableBytes: boundedCount(stats.memoryAvailableBytes),
    netRxBytes: boundedCount(stats.netRxBytes),
    netTxBytes: boundedCount(stats.netTxBytes),
    blockReadBytes: boundedCount(stats.blockReadBytes),
    blockWriteBytes: boundedCount(stats.blockWriteBytes),
    processes: boundedProcesses(stats.processes),
  };
}
