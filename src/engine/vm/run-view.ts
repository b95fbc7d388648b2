// What of a VM's run is open to the rest of the engine: its VMM, the way to its agent, its ports, and what is known of
// its end. The run itself (live-vm.ts) is made and ended by the runner alone.

import type { AgentSession } from "../../agent/types.js";
import type { VmmHandle } from "../../vmm/types.js";
import type { Asked } from "./end.js";
import type { PortBinding } from "./vm-config.js";

export interface RunView {
  readonly handle: VmmHandle;
  readonly link: RunLink;
  readonly ports: RunPorts;
  /** The agent has reported the program's end. */
  readonly hasReport: boolean;
  /** What the user asked for; or that the guest has halted or its agent is lost, and its VMM must be ended for it. */
  asked: Asked;
  /** Resolves when everything about this run is over and written down. */
  readonly ended: { readonly promise: Promise<void> };
  /** After the guest has stood still. Where there is no session, the next one begins with it. */
  setClock(): Promise<void>;
  /** Lets go of everything on the host's side; the VMM is left as it is. */
  release(): Promise<void>;
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

/** The ports published of one run. */
export interface RunPorts {
  /** As bound. */
  readonly bindings: PortBinding[];
  /** @returns the binding with the host port that was chosen for 0 */
  add(binding: PortBinding): Promise<PortBinding>;
  /** @throws KilnError not_found `port-not-published` */
  remove(wanted: PortBinding): Promise<PortBinding>;
}
