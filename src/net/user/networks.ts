// The user networks of this host's VMs: whether there is a passt that may be used, and one beside each VM with a card.

import { Code, KilnError } from "../../base/errors.js";
import { prepareNetguard } from "../../base/netguard.js";
import { Recent } from "../../base/recent.js";
import type { UserConnection, UserNetwork } from "../types.js";
import { UserNetworkKeeper } from "./keeper.js";
import { planPasst } from "./plan.js";
import { type PasstProbeOptions, PasstProber, type PasstVerdict } from "./probe.js";

/** A start looks three times, and so does each of VMs that start together. */
const KEPT_MS = 1_000;

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
  connect(connection: UserConnection): Promise<UserNetwork> {
    return UserNetworkKeeper.start(this.#keeping(connection));
  }

  /** For a card that an earlier kilnd has connected. Never fails: what can't be had is told as a notice. */
  adopt(connection: UserConnection): Promise<UserNetwork> {
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
