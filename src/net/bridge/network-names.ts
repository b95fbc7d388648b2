// What tells the guests of networks of each other's names, and of their own addresses: the resolvers of each, and what answers by
// DHCP, by the cards that are on it.

import { join } from "node:path";
import { resolvesNames } from "../../base/egress.js";
import type { Ground } from "./ground.js";
import { areLeasesRunning, endLeases, tellLeases } from "./leases.js";
import type { Live } from "./live.js";
import { areNamesRunning, endNames, type NamesOptions, tellNames } from "./names.js";

const KINDS = ["open", "closed"] as const;

export interface NetworkNamesOptions {
  /** Of all networks; private to kilnd. */
  readonly directory: string;
  /** Of every process. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export class NetworkNames {
  readonly #options: NetworkNamesOptions;
  /** By id: the host's resolvers, as they were when a network was last told. */
  readonly #servers = new Map<string, string>();

  constructor(options: NetworkNamesOptions) {
    this.#options = options;
  }

  /** Files, processes that read them: as the cards of this moment have it. */
  async tell(ground: Ground, { spec, cards }: Live): Promise<void> {
    const { place, programs } = ground;
    const { environment = {} } = this.#options;
    const directory = this.directoryOf(spec.id);
    const all = [...cards.values()];
    const isClosed = all.some(({ egress }) => !resolvesNames(egress));
    for (const kind of isClosed && !spec.dnsDisabled ? KINDS : (["open"] as const)) {
      const options: NamesOptions = { spec, kind, directory, place, programs, environment };
      await tellNames(options, all);
    }
    await tellLeases({ directory, environment }, ground, spec, all);
    this.#servers.set(spec.id, place.servers.join(" "));
  }

  /** That the host has the resolvers still that a network was told of. */
  areTold(networkId: string, servers: readonly string[]): boolean {
    return this.#servers.get(networkId) === servers.join(" ");
  }

  /** That all run which are on record. */
  async areRunning(networkId: string): Promise<boolean> {
    const directory = this.directoryOf(networkId);
    return (await areNamesRunning(directory)) && (await areLeasesRunning(directory));
  }

  async end(networkId: string): Promise<void> {
    const directory = this.directoryOf(networkId);
    this.#servers.delete(networkId);
    for (const kind of KINDS) await endNames({ directory, kind });
    await endLeases(directory);
  }

  /** Of all that is a network's: by it one that was up is known. */
  directoryOf(networkId: string): string {
    return join(this.#options.directory, networkId.slice(0, 12));
  }
}
