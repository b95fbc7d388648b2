// The user networks of this host's VMs: whether there is a passt (for taps: a slirp4netns) that may be used, and one
// beside each VM with a card.

import { Code, KilnError } from "../../base/errors.js";
import { prepareNetguard } from "../../base/netguard.js";
import { Recent } from "../../base/recent.js";
import type { CardKind, StreamConnection, TapConnection, UserConnection, UserNetwork } from "../types.js";
import { countFileIn } from "./denied.js";
import { UserNetworkKeeper } from "./keeper.js";
import { planPasst } from "./plan.js";
import { type PasstProbeOptions, PasstProber, type PasstVerdict } from "./probe.js";
import { planSlirp } from "./slirp.js";
import { SlirpNetwork } from "./slirp-network.js";
import { probeSlirp, type SlirpVerdict } from "./slirp-probe.js";

/** A start looks three times, and so does each of VMs that start together. */
const KEPT_MS = 1_000;

export class UserNetworks {
  readonly #options: PasstProbeOptions;
  readonly #prober: PasstProber;
  readonly #recent = new Recent<PasstVerdict>(KEPT_MS);
  readonly #recentSlirp = new Recent<SlirpVerdict>(KEPT_MS);

  constructor(options: PasstProbeOptions) {
    this.#options = options;
    this.#prober = new PasstProber(options);
  }

  /** @param kind of the card */
  async look(kind: CardKind): Promise<{ readonly usable: boolean; readonly why: string }> {
    const { program, why } = await this.#find(kind);
    return { usable: program !== undefined, why };
  }

  /** Which passt is used, or why none is. */
  passt(): Promise<PasstVerdict> {
    return this.#find("stream");
  }

  /** @throws KilnError failed_precondition `no-user-network`, `no-netguard`; unavailable `user-network-failed` */
  connect(connection: UserConnection): Promise<UserNetwork> {
    return connection.kind === "tap"
      ? SlirpNetwork.start(this.#slirping(connection))
      : UserNetworkKeeper.start(this.#keeping(connection));
  }

  /** For a card that an earlier kilnd has connected. Never fails: what can't be had is told as a notice. */
  adopt(connection: UserConnection): Promise<UserNetwork> {
    return connection.kind === "tap"
      ? SlirpNetwork.adopt(this.#slirping(connection))
      : UserNetworkKeeper.adopt(this.#keeping(connection));
  }

  #find(kind: CardKind): Promise<PasstVerdict | SlirpVerdict> {
    const isUsable = ({ program }: PasstVerdict) => program !== undefined;
    return kind === "tap"
      ? this.#recentSlirp.get(probeSlirp, isUsable)
      : this.#recent.get(() => this.#prober.probe(), isUsable);
  }

  async #prepare(kind: CardKind) {
    const { program, why } = await this.#find(kind);
    if (program === undefined) {
      throw new KilnError(Code.FailedPrecondition, why, { reason: "no-user-network" });
    }
    const guard = await prepareNetguard(this.#options.netguard);
    return { program, guard, uid: process.getuid?.() ?? 0 };
  }

  #keeping({ kind, runDirectory, socket, runAs, egress, environment, join }: StreamConnection) {
    const countFile = countFileIn(runDirectory);
    const plan = async () =>
      planPasst({ ...(await this.#prepare(kind)), runAs, egress, countFile, environment });
    return { runDirectory, socket, plan, join };
  }

  #slirping({ kind, runDirectory, tap, egress, environment, join }: TapConnection) {
    const countFile = countFileIn(runDirectory);
    const plan = async (pid: number) =>
      planSlirp({ ...(await this.#prepare(kind)), pid, egress, countFile, environment });
    return { runDirectory, tap, plan, join };
  }
}
