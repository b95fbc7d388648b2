// What the stages of a boot hand to one another. Each stage is a function from one step to the next; pipeline.ts runs them.

import type { BootMilliseconds } from "../../agent/index.js";
import type { AgentSession } from "../../agent/types.js";
import type { UndoStack } from "../../base/undo.js";
import type { VmmDriver, VmmSpec } from "../../vmm/types.js";
import type { AttachmentSet, PlannedSet } from "../attach/set.js";
import type { BootAssets } from "../kernels/kernel-assets.js";
import type { Timings } from "../vm/status.js";
import type { EngineContext } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import type { Run } from "./run.js";

/** One run on its way up. */
export interface Boot {
  readonly ctx: EngineContext;
  readonly run: Run;
  readonly runDirectory: string;
  /** Milliseconds after the request to start. */
  readonly clock: () => number;
  /** Of the stages that are done; 0 for those that another kilnd has done. */
  readonly timings: { -readonly [K in keyof Omit<Timings, "guest">]: number };
  /** Of what all its attempts share. */
  readonly owned: UndoStack;
  /** What must stay until it is over, well or not: a VMM that is launched again opens the same files. */
  readonly leases: UndoStack;
}

export interface Attempt extends Boot {
  /** Where the attempt fails, nothing of it is left. */
  readonly undo: UndoStack;
}

/** Everything about a VM's boot that is known before its VMM exists. */
export interface Prepared {
  readonly driver: VmmDriver;
  readonly assets: BootAssets;
  readonly attached: AttachmentSet;
  readonly planned: PlannedSet;
  readonly spec: VmmSpec;
}

/** A VMM with a guest that boots in it. */
export interface Machine {
  readonly live: LiveVm;
  /** Undefined where another kilnd has launched it: its guest may have gone further than its first hello. */
  readonly planned: PlannedSet | undefined;
}

/** A guest that has said hello. */
export interface Greeted {
  readonly machine: Machine;
  readonly session: AgentSession;
}

/** A guest that is up. */
export interface Up extends Greeted {
  readonly at: "live";
  /** False: the program could not be started; the agent's Wait says why. */
  readonly programRuns: boolean;
  readonly timings?: BootMilliseconds | undefined;
}

/** Where a boot stands, with all that the next stage needs. */
export type Step =
  | { readonly at: "spawn"; readonly prepared: Prepared }
  | { readonly at: "hello"; readonly machine: Machine }
  | (Greeted & { readonly at: "setup" | "files" | "workload" })
  | Up;
