// A guest that QEMU has stopped because the host's disk is full: tells who wants to know, and lets it go on again once
// there is room. Trying is how one learns: QEMU repeats the failed write and stops again at once.

import type { QmpEvent } from "./client.js";

const RETRY_MS = 3000;

export class StallWatch {
  readonly #resume: () => Promise<unknown>;
  readonly #listeners = new Set<(why: string | undefined) => void>();
  #timer: NodeJS.Timeout | undefined;
  #failedSinceRetry = false;
  #why: string | undefined;
  /** The user paused the guest: then nobody but the user lets it go on. */
  held = false;

  /** @param resume QMP `cont` */
  constructor(resume: () => Promise<unknown>) {
    this.#resume = resume;
  }

  /** True while the guest is stopped for want of disk. */
  get stalled(): boolean {
    return this.#why !== undefined;
  }

  listen(listener: (why: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    if (this.#why !== undefined) listener(this.#why);
    return () => this.#listeners.delete(listener);
  }

  take(event: QmpEvent): void {
    if (event.name !== "BLOCK_IO_ERROR" || event.data.action !== "stop") return;
    const device = String(event.data["node-name"] ?? "").replace(/^disk-/, "");
    this.begin(`the host's disk is full: no room to write disk ${device}`);
  }

  begin(why: string): void {
    this.#failedSinceRetry = true;
    if (this.#why !== undefined) return;
    this.#set(why);
    this.#timer = setInterval(() => void this.#retry(), RETRY_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }

  async #retry(): Promise<void> {
    if (this.held) return;
    if (!this.#failedSinceRetry) {
      clearInterval(this.#timer);
      return this.#set(undefined);
    }
    this.#failedSinceRetry = false;
    // The connection may end under us; the handle sees that for itself.
    await this.#resume().catch(() => undefined);
  }

  #set(why: string | undefined): void {
    this.#why = why;
    for (const listener of this.#listeners) listener(why);
  }
}
