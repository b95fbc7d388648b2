// The door of shares: live directories of the host, each served to one guest by a kiln-share process that outlives kilnd.

import { ShareKeeper } from "./keeper.js";
import type { Share, ShareConnection, ShareSpec } from "./types.js";

export { isRoots, whyNotOwnRoot } from "./own-root.js";
export { openSource } from "./source.js";

/** The servers of this host's shares. */
export class Shares {
  readonly #program: string;

  /** @param program kiln-share's path */
  constructor(program: string) {
    this.#program = program;
  }

  /** @throws KilnError not_found `share-source-missing`; invalid_argument `bad-share-source`; unavailable `share-failed` */
  serve(spec: ShareSpec, connection: ShareConnection): Promise<Share> {
    return ShareKeeper.start({ ...connection, spec, program: this.#program });
  }

  /** For a VM that an earlier kilnd has started. Never fails: what can't be had is told as a notice. */
  adopt(spec: ShareSpec, connection: ShareConnection): Promise<Share> {
    return ShareKeeper.adopt({ ...connection, spec, program: this.#program });
  }
}
