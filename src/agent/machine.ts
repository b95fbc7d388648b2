// The guest as a machine: its clock, its disks, what it uses.

import type { CallOptions, Client } from "@connectrpc/connect";
import type { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";

/** The guest's own word, unchecked. */
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
  /** Nanoseconds of its clock; undefined where the agent of an older kiln tells no time. */
  clock(options?: CallOptions): Promise<bigint | undefined>;
  /** Moves its clock by so many nanoseconds. */
  stepClock(stepNs: bigint, options?: CallOptions): Promise<void>;
  /** sync(2). */
  sync(options?: CallOptions): Promise<void>;
  stats(options?: CallOptions): Promise<MachineStats>;
}

export function machineOver(client: Client<typeof AgentService>): GuestMachine {
  return {
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
    stats: (options) => client.stats({}, options),
  };
}
