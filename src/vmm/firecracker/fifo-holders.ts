// The ends of a VM's FIFOs that are open before Firecracker is there to open them.

import { FifoHolder } from "../fifo.js";
import type { FirecrackerPaths } from "./paths.js";

/** The FIFOs of a VM, held until Firecracker holds them. */
export class FifoHolders {
  readonly #console: FifoHolder;
  readonly #others: readonly FifoHolder[];

  constructor(paths: FirecrackerPaths) {
    this.#console = new FifoHolder(paths.console);
    this.#others = [new FifoHolder(paths.log), new FifoHolder(paths.metrics)];
  }

  get console(): number {
    return this.#console.fd;
  }

  release(): void {
    for (const holder of [this.#console, ...this.#others]) holder.release();
  }
}
