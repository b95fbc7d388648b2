// The guest as a machine: how far it has come, its boot and its end, its clock, its disks, what it uses. What it says of
// itself is its own word, and bounded here.

import type { CallOptions, Client } from "@connectrpc/connect";
import type { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import { type BootResponse, type BootTimings, Phase } from "../gen/kiln/agent/v1/machine_pb.js";
import type { StatsResponse } from "../gen/kiln/agent/v1/stats_pb.js";
import { type BootOrder, bootRequest } from "./boot-order.js";
import { boundedCount, boundedMilliseconds, boundedProcesses } from "./guest-numbers.js";

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
  state(options?: CallOptions): Promise<MachineState>;
  /** Builds the root and starts the program. Once for each boot of the guest. */
  boot(order: BootOrder, options?: CallOptions): Promise<BootAnswer>;
  /** Of a boot that was held. Once. */
  startProgram(options?: CallOptions): Promise<BootAnswer>;
  /** The program's end is stored: the guest brings its disks to rest and ends. */
  ackExit(options?: CallOptions): Promise<void>;
  /** Nanoseconds of its clock; undefined where the agent of an older kiln tells no time. */
  clock(options?: CallOptions): Promise<bigint | undefined>;
  /** Moves its clock by so many nanoseconds. */
  stepClock(stepNs: bigint, options?: CallOptions): Promise<void>;
  /** sync(2). */
  sync(options?: CallOptions): Promise<void>;
  stats(options?: CallOptions): Promise<MachineStats>;
}

const PHASES: ReadonlyMap<Phase, GuestPhase> = new Map([
  [Phase.WAITING, "waiting"],
  [Phase.BOOTING, "booting"],
  [Phase.HELD, "held"],
  [Phase.RUNNING, "running"],
  [Phase.EXITED, "exited"],
  [Phase.ENDING, "ending"],
]);

export function machineOver(client: Client<typeof AgentService>): GuestMachine {
  return {
    state: async (options) => {
      const { phase, exit } = await client.state({}, options);
      return { phase: PHASES.get(phase) ?? "unknown", hasEnded: exit !== undefined };
    },
    boot: async (order, options) => bootAnswer(await client.boot(bootRequest(order), options)),
    startProgram: async (options) => bootAnswer(await client.startProgram({}, options)),
    ackExit: async (options) => {
      await client.ackExit({}, options);
    },
    clock: async (options) => {
      const { clockUnixNs } = await client.state({}, options);
      return clockUnixNs === 0n ? undefined : clockUnixNs;
    },
    stepClock: async (stepNs, options) => {
      await client.setClock({ stepNs }, options);
    },
    sync: async (options) => {
      await client.sync({}, options);
    },
    stats: async (options) => boundedStats(await client.stats({}, options)),
  };
}

function bootAnswer({ pid, held, timings }: BootResponse): BootAnswer {
  return { programRuns: pid !== 0, held, timings: timings && boundedTimings(timings) };
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
