// Volumes as users see them: named by a key, shown with the VMs that use them.

import { KilnError } from "../../base/errors.js";
import {
  type Filters,
  matchesVolume,
  PRUNE_FILTERS,
  parseFilters,
  VOLUME_FILTERS,
} from "../common/filters.js";
import { collect } from "../objects/collect.js";
import type { References } from "../objects/references.js";
import { type VolumeEntry, volumeRef } from "./entry.js";
import type { Holder } from "./holders.js";
import type { VolumeSpec } from "./spec.js";
import type { Volumes } from "./volumes.js";

/** A volume as it was when it was asked for. */
export interface VolumeView {
  readonly id: string;
  readonly name: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the disk. */
  readonly sizeBytes: number;
  /** Of its file system: less than the disk where that has grown and no VM has mounted it since. 0: not known. */
  readonly filesystemBytes: number;
  /** Blocks really taken on the host. */
  readonly usedBytes: number;
  readonly anonymous: boolean;
  /** Names of the VMs that have it among their mounts, whether they run or not. */
  readonly vms: readonly string[];
  /** Name of the VM that has it writable at this moment; "": none. */
  readonly writer: string;
}

export interface PrunedVolumes {
  readonly names: readonly string[];
  readonly bytes: number;
}

export interface VolumeVerbsDeps {
  readonly volumes: Volumes;
  readonly references: References;
  /** For names. */
  readonly vms: { get(id: string): { readonly name: string } | undefined };
  readonly now: () => number;
  /** See Volumes.grow. */
  readonly growMounted: (volume: VolumeEntry, writer: Holder) => Promise<number | undefined>;
}

/** Every verb that takes a key throws KilnError not_found `volume-not-found` where no volume has it. */
export class VolumeVerbs {
  readonly #deps: VolumeVerbsDeps;

  constructor(deps: VolumeVerbsDeps) {
    this.#deps = deps;
  }

  /** See Volumes.create: one of that name that is there already is fine. */
  async create(spec: VolumeSpec): Promise<VolumeView> {
    return this.#view((await this.#deps.volumes.create(spec)).entry);
  }

  /** @param filters "name=x", "label=a=b", "dangling=true", "id=ab" */
  async list(filters: readonly string[] = []): Promise<VolumeView[]> {
    const parsed = parseFilters("volumes", filters, VOLUME_FILTERS);
    const { volumes, now } = this.#deps;
    const wanted = volumes.list().filter((entry) => matchesVolume(this.#filtered(entry), parsed, now()));
    return Promise.all(wanted.map((entry) => this.#view(entry)));
  }

  find(key: string): Promise<VolumeView> {
    return this.#view(this.#deps.volumes.find(key));
  }

  /** @returns its id. @throws KilnError failed_precondition `volume-in-use` */
  async remove(key: string): Promise<string> {
    const entry = this.#deps.volumes.find(key);
    await this.#deps.volumes.remove(entry);
    return entry.id;
  }

  /** See Volumes.grow. */
  async grow(key: string, sizeBytes: number): Promise<VolumeView> {
    const entry = this.#deps.volumes.find(key);
    const { volumes, growMounted } = this.#deps;
    await volumes.grow(entry, sizeBytes, (writer) => growMounted(entry, writer));
    return this.#view(entry);
  }

  /**
   * Removes what no VM has among its mounts: those without a name, or with `all` every one. One whose record is damaged
   * is not known well enough for that.
   *
   * @param filters "label=a=b", "until=24h"
   * @throws the first failure: those behind it were tried all the same
   */
  async prune(all: boolean, filters: readonly string[] = []): Promise<PrunedVolumes> {
    return this.pruneMatching(all, parseFilters("volume prune", filters, PRUNE_FILTERS));
  }

  /** The same with filters that are parsed. */
  async pruneMatching(all: boolean, filters: Filters): Promise<PrunedVolumes> {
    const { volumes, references, now } = this.#deps;
    const wanted = volumes
      .list()
      .filter((entry) => (all || entry.anonymous) && entry.recordFlaw === undefined)
      .filter((entry) => matchesVolume(this.#filtered(entry), filters, now()));
    const names = new Map(wanted.map(({ id, name }) => [id, name]));
    let bytes = 0;
    const { removed, failed } = await collect(references, "volume", names.keys(), async (id) => {
      bytes += await volumes.removeClaimed(id);
    });
    const [first] = failed;
    if (first !== undefined) throw KilnError.from(first.error);
    return { names: removed.map((id) => names.get(id) ?? id), bytes };
  }

  #filtered(entry: VolumeEntry) {
    const { id, name, record } = entry;
    const isDangling = this.#users(entry).length === 0;
    return { id, name, createdAt: record.createdAt, labels: record.labels, isDangling };
  }

  /** Ids of VMs. */
  #users({ id }: VolumeEntry): string[] {
    const users = this.#deps.references.usersOf(volumeRef(id)).map(({ from }) => from);
    return [...new Set(users.filter(({ noun }) => noun === "vm").map((user) => user.id))];
  }

  async #view(entry: VolumeEntry): Promise<VolumeView> {
    const { volumes, vms } = this.#deps;
    const { id, name, sizeBytes, anonymous, record, status } = entry;
    return {
      id,
      name,
      sizeBytes,
      anonymous,
      createdAt: record.createdAt,
      labels: record.labels,
      filesystemBytes: Math.min(status.filesystemBytes, sizeBytes),
      usedBytes: await volumes.usedBytes(id),
      vms: this.#users(entry).map((user) => vms.get(user)?.name ?? user),
      writer: volumes.holders(id).find(({ readOnly }) => !readOnly)?.name ?? "",
    };
  }
}
