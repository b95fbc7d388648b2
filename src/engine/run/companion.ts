// What lives and ends with the runs of a VM beside its main program, and is told of them here.

import type { AgentSession } from "../../agent/types.js";
import type { VmEntry } from "../vm/entry.js";

export interface Companions {
  /** A VMM of this VM is here, launched or found. */
  attend(entry: VmEntry): Companion;
  /** It is gone. Resolves once what ended with it is written down; never rejects. */
  ended(entry: VmEntry): Promise<void>;
}

/** For as long as one VMM is held. */
export interface Companion {
  /** A session with the agent: the one before has ended. Returns at once. */
  serve(session: AgentSession): void;
  /** The main program has ended: resolves once what the others have said up to now is stored. Never rejects. */
  lastWords(): Promise<void>;
  /** Lets go; what runs in the guest runs on. */
  release(): Promise<void>;
}
