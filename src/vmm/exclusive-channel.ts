// The one stream to the agent: at most one at a time. A second client of a virtio-serial socket would connect, hear
// nothing, and have its bytes delivered when the first leaves.

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Code, KilnError } from "../base/errors.js";
import type { Abortable } from "../base/progress.js";

export class ExclusiveChannel {
  readonly #open: (options: Abortable) => Promise<Socket>;
  #current: Socket | undefined;
  #dialing = false;

  constructor(open: (options: Abortable) => Promise<Socket>) {
    this.#open = open;
  }

  /** @throws KilnError failed_precondition `channel-busy` while an earlier stream lives */
  async dial(options: Abortable): Promise<Duplex> {
    options.signal?.throwIfAborted();
    if (this.#dialing || (this.#current !== undefined && !this.#current.destroyed)) {
      throw new KilnError(Code.FailedPrecondition, "dial the agent: its channel is in use", {
        reason: "channel-busy",
      });
    }
    this.#dialing = true;
    try {
      const socket = await this.#open(options);
      // Whoever asked has gone: nobody would close the stream.
      if (options.signal?.aborted === true) socket.destroy();
      options.signal?.throwIfAborted();
      this.#current = socket;
      return socket;
    } finally {
      this.#dialing = false;
    }
  }

  close(): void {
    this.#current?.destroy();
  }
}
