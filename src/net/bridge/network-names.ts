// What tells the guests of networks of each other's names: the resolvers of each, by the cards that are on it.

import { join } from "node:path";
import { resolvesNames } from "../../base/egress.js";
import type { Ground } from "./ground.js";
import type { Live } from "./live.js";
import {
  areNamesRunning,
  endNames,
  ensureNames,
  type NamesOptions,
  reloadNames,
  writeNames,
} from "./names.js";

const KINDS = ["open", "closed"] as const;

export interface NetworkNamesOptions {
  /** Of all networks; private to kilnd. */
  readonly directory: string;
  /** Of every process. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export class NetworkNames {
  readonly #options: NetworkNamesOptions;

  constructor(options: NetworkNamesOptions) {
    this.#options = options;
  }

  /** Files, processes that read them: as the cards of this moment have it. */
  async tell({ place, programs }: Ground, { spec, cards }: Live): Promise<void> {
    const { environment = {} } = this.#options;
    const directory = this.directoryOf(spec.id);
    const all = [...cards.values()];
    const isClosed = all.some(({ egress }) => !resolvesNames(egress));
    for (const kind of isClosed && !spec.dnsDisabled ? KINDS : (["open"] as const)) {
      const options: NamesOptions = { spec, kind, directory, place, programs, environment };
      const isNew = await writeNames(options, all);
      const { wasThere } = await ensureNames(options);
      if (isNew && wasThere) await reloadNames(options);
    }
  }

  /** That all run which are on record. */
  areRunning(networkId: string): Promise<boolean> {
    return areNamesRunning(this.directoryOf(networkId));
  }

  async end(networkId: string): Promise<void> {
    for (const kind of KINDS) await endNames({ directory: this.directoryOf(networkId), kind });
  }

  /** Of all that is a network's: by it one that was up is known. */
  directoryOf(networkId: string): string {
    return join(this.#options.directory, networkId.slice(0, 12));
  }
}
