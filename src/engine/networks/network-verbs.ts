// Networks as users see them: named by a key, shown with the VMs that are on them.

import {
  type Filters,
  matchesNetwork,
  NETWORK_FILTERS,
  PRUNE_FILTERS,
  parseFilters,
} from "../common/filters.js";
import { collect, requireAll } from "../objects/collect.js";
import type { References } from "../objects/references.js";
import type { NetworkEntry } from "./entry.js";
import type { NetworkMember, Networks } from "./networks.js";
import type { NetworkRecord } from "./record.js";
import type { NetworkOrder } from "./spec.js";

/** A network as it was when it was asked for. */
export interface NetworkView extends Readonly<Omit<NetworkRecord, "version">> {
  /** Those that have it among their networks, whether they run or not. */
  readonly members: readonly NetworkMember[];
}

export interface NetworkVerbsDeps {
  readonly networks: Networks;
  readonly references: References;
  readonly now: () => number;
}

/** Every verb that takes a key throws KilnError not_found `network-not-found` where no network has it. */
export class NetworkVerbs {
  readonly #deps: NetworkVerbsDeps;

  constructor(deps: NetworkVerbsDeps) {
    this.#deps = deps;
  }

  /** See Networks.create. */
  async create(order: NetworkOrder): Promise<NetworkView> {
    return this.#view(await this.#deps.networks.create(order));
  }

  /** @param filters "name=x", "id=ab", "label=a=b", "driver=bridge", "dangling=true" */
  list(filters: readonly string[] = []): NetworkView[] {
    const parsed = parseFilters("networks", filters, NETWORK_FILTERS);
    return this.#matching(parsed).map((entry) => this.#view(entry));
  }

  find(key: string): NetworkView {
    return this.#view(this.#deps.networks.find(key));
  }

  /** @returns its id. @throws KilnError failed_precondition `network-in-use` */
  async remove(key: string): Promise<string> {
    const entry = this.#deps.networks.find(key);
    await this.#deps.networks.remove(entry);
    return entry.id;
  }

  /**
   * Removes those that no VM has. One whose record is damaged is not known well enough for that.
   *
   * @param filters "label=a=b", "until=24h"
   * @returns their names
   * @throws the first failure: those behind it were tried all the same
   */
  async prune(filters: readonly string[] = []): Promise<string[]> {
    return this.pruneMatching(parseFilters("network prune", filters, PRUNE_FILTERS));
  }

  /** The same with filters that are parsed. */
  async pruneMatching(filters: Filters): Promise<string[]> {
    const { networks, references } = this.#deps;
    const wanted = this.#matching(filters).filter(({ recordFlaw }) => recordFlaw === undefined);
    const names = new Map(wanted.map(({ id, name }) => [id, name]));
    const all = await collect(references, "network", names.keys(), (id) => networks.removeClaimed(id));
    requireAll(all);
    return all.removed.map((id) => names.get(id) ?? id);
  }

  #matching(filters: Filters): NetworkEntry[] {
    const { networks, now } = this.#deps;
    return networks.list().filter((entry) => {
      const { id, name, record } = entry;
      const { createdAt, labels, driver } = record;
      const isDangling = networks.membersOf(id).length === 0;
      return matchesNetwork({ id, name, createdAt, labels, driver, isDangling }, filters, now());
    });
  }

  #view({ id, name, record }: NetworkEntry): NetworkView {
    const { version: _form, ...rest } = record;
    return { ...rest, id, name, members: this.#deps.networks.membersOf(id) };
  }
}
