// What of a VM's run is open to the rest of the engine: how far it has come, what is wanted of it, and once its program
// runs its VMM, the way to its agent and its ports. The run itself (run.ts) is made and ended by the runner alone.

import type { AgentSession } from "../../agent/types.js";
import type { VmmHandle } from "../../vmm/types.js";
import type { Intent } from "./end.js";
import type { Mount } from "./mount-config.js";
import type { CardPlace } from "./network-config.js";
import type { PortBinding } from "./vm-config.js";

/** The stages of a boot, in order; "files" and "workload" are part of "setup" where no files wait for the VM. */
export type BootStage = "prepare" | "spawn" | "hello" | "setup" | "files" | "workload";

/** "reach": a new kilnd reaches for the VMM that it found; then its boot, as far as there is one left; then its life. */
export type RunStage = "reach" | BootStage | "live";

export interface RunView {
  readonly stage: RunStage;
  readonly intent: Intent;
  /** What runs; undefined before the stage "live". */
  readonly live: LiveView | undefined;
  /** Resolves when everything about this run is over and written down. */
  readonly ended: Promise<void>;
  /** Raises the intent (run < stop < expire < kill) and gives up what has to come before the stage "live". */
  want(intent: "stop" | "expire" | "kill"): void;
}

/** True for a run that is on its way up: `want` gives it up, and then it ends by itself. */
export function isBooting(run: RunView | undefined): run is RunView {
  return run !== undefined && run.stage !== "reach" && run.stage !== "live";
}

export interface LiveView {
  readonly handle: VmmHandle;
  readonly link: RunLink;
  readonly ports: RunPorts;
  readonly mounts: RunMounts;
  readonly cards: RunCards;
  /** What the VM was refused of the world outside since it began. */
  denied(): Promise<number>;
  /** The agent has reported the program's end. */
  readonly hasReport: boolean;
  /** After the guest has stood still: sets its clock, and begins what it could not be told of meanwhile. */
  goOn(): Promise<void>;
  /** kilnd goes and the VM runs on: lets go of everything in this process, the handle included. */
  detach(): Promise<void>;
}

/** Its cards on named networks. */
export interface RunCards {
  /**
   * That cards of this VM can come and go while it runs.
   *
   * @param what "be put on": for people
   * @throws KilnError failed_precondition `not-supported`, `no-hotplug`, `agent-too-old`
   */
  require(what: string): Promise<void>;
  /** Puts it on a network, and tells its guest. @throws KilnError as `HotCards.attach`, `NetworkUses.join`; what the guest says */
  add(place: CardPlace): Promise<void>;
  /** Takes it off, whatever its guest says. */
  remove(place: CardPlace): Promise<void>;
  /** The first address of its first card; "" where it has none. */
  readonly address: string;
}

/** One session with the guest's agent at a time. */
export interface RunLink {
  /** The session of this moment. */
  readonly current: AgentSession | undefined;
  /**
   * The session, waiting a while for one that is being opened again.
   *
   * @throws KilnError unavailable `agent-unreachable`
   */
  session(options?: { signal?: AbortSignal | undefined; timeoutMs?: number }): Promise<AgentSession>;
  /** No attempt to open a session until `resume`: a paused guest answers no hello. */
  hold(): void;
  resume(): void;
}

/** What is mounted in the guest of one run. */
export interface RunMounts {
  /** Of the mount at that target; undefined where there is none. */
  stateOf(target: string): { readonly state: "attached" | "away"; readonly message: string } | undefined;
  /**
   * Mounts a volume; where that fails the guest has what it had.
   *
   * @throws KilnError failed_precondition `volume-busy`, `no-hotplug`, `vm-gone`, `agent-too-old`
   */
  add(mount: Mount): Promise<void>;
  /** @throws KilnError failed_precondition `mount-in-use` with the program that uses it */
  remove(target: string): Promise<void>;
}

/** The ports published of one run. */
export interface RunPorts {
  /** As bound. */
  readonly bindings: PortBinding[];
  /** @returns the binding with the host port that was chosen for 0 */
  add(binding: PortBinding): Promise<PortBinding>;
  /** @throws KilnError not_found `port-not-published` */
  remove(wanted: PortBinding): Promise<PortBinding>;
}
