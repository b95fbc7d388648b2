// The user networks of this host's VMs: whether there is a passt that may be used, and one beside each VM with a card.

import { Code, KilnError } from "../../base/errors.js";
import { prepareNetguard } from "../../base/netguard.js";
import type { RunAs } from "../../base/privileges.js";
import { Recent } from "../../base/recent.js";
import { UserNetworkKeeper } from "./keeper.js";
import { planPasst } from "./plan.js";
import { type PasstProbeOptions, PasstProber, type PasstVerdict } from "./probe.js";

/** A start looks three times, and so does each of VMs that start together. */
const KEPT_MS = 1_000;

/** One VM's card, to be connected. */
export interface UserConnection {
  /** Of the VM: private to kilnd, and gone with the run. */
  readonly runDirectory: string;
  /** Where the VMM listens for the card's other end. */
  readonly socket: string;
  /** The VM's user, where a root daemon gave it one. */
  readonly runAs: RunAs | undefined;
  /** Of every process of the VM. */
  readonly environment: Readonly<Record<string, string>> | undefined;
  /** Puts a process under the VM's limits. */
  readonly join: (pid: number) => Promise<void>;
}

export class UserNetworks {
  readonly #options: PasstProbeOptions;
  readonly #prober: PasstProber;
  readonly #recent = new Recent<PasstVerdict>(KEPT_MS);

  constructor(options: PasstProbeOptions) {
    this.#options = options;
    this.#prober = new PasstProber(options);
  }

  async look(): Promise<{ readonly usable: boolean; readonly why: string }> {
    const { program, why } = await this.#find();
    return { usable: program !== undefined, why };
  }

  /** @throws KilnError failed_precondition `no-user-network`, `no-netguard`; unavailable `user-network-failed` */
  connect(connection: UserConnection): Promise<UserNetworkKeeper> {
    return UserNetworkKeeper.start(this.#keeping(connection));
  }

  /** For a card that an earlier kilnd has connected. Never fails: what can't be had is told as a notice. */
  adopt(connection: UserConnection): Promise<UserNetworkKeeper> {
    return UserNetworkKeeper.adopt(this.#keeping(connection));
  }

  #find(): Promise<PasstVerdict> {
    return this.#recent.get(
      () => this.#prober.probe(),
      ({ program }) => program !== undefined,
    );
  }

  #keeping({ runDirectory, socket, runAs, environment, join }: UserConnection) {
    const plan = async () => {
      const { program, why } = await this.#find();
      if (program === undefined) {
        throw new KilnError(Code.FailedPrecondition, why, { reason: "no-user-network" });
      }
      const guard = await prepareNetguard(this.#options.netguard);
      return planPasst({ program, guard, uid: process.getuid?.() ?? 0, runAs, environment });
    };
    return { runDirectory, socket, plan, join };
  }
}
