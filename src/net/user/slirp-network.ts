// What keeps a tap connected: one slirp4netns, which ends with its VMM whether kilnd is there or not.

import { KilnError } from "../../base/errors.js";
import { type ProcessId, signalProcess } from "../../base/processes.js";
import type { NetworkNotice, TapConnection, UserNetwork } from "../types.js";
import { countFileIn, readCount } from "./denied.js";
import { hasSlirp, type SlirpPlan, startSlirp } from "./slirp.js";

export interface SlirpOptions extends Pick<TapConnection, "tap" | "join" | "runDirectory"> {
  readonly plan: (pid: number) => Promise<SlirpPlan>;
}

export class SlirpNetwork implements UserNetwork {
  readonly #options: SlirpOptions;
  #process: ProcessId | undefined;
  /** What was found out before anybody listened. */
  #untold: NetworkNotice | undefined;

  private constructor(options: SlirpOptions) {
    this.#options = options;
  }

  /** @throws KilnError as `startSlirp`, and as `plan` */
  static async start(options: SlirpOptions): Promise<SlirpNetwork> {
    const network = new SlirpNetwork(options);
    await network.#start();
    return network;
  }

  /**
   * For a VM that an earlier kilnd started. That one may have died before it started slirp4netns, or slirp4netns has died since:
   * there is none then, and it is started now. Never fails: what can't be had is told as a notice.
   */
  static async adopt(options: SlirpOptions): Promise<SlirpNetwork> {
    const network = new SlirpNetwork(options);
    try {
      const { pid } = await options.tap();
      if (!(await hasSlirp(pid))) await network.#start();
    } catch (error) {
      network.#untold = { down: true, message: KilnError.from(error).message };
    }
    return network;
  }

  async #start(): Promise<void> {
    const { tap, plan, join } = this.#options;
    const holder = await tap();
    const id = await startSlirp(await plan(holder.pid), holder);
    try {
      await join(id.pid);
    } catch (error) {
      // Never one without limits.
      await signalProcess(id, "SIGKILL");
      throw error;
    }
    this.#process = id;
  }

  listen(listener: (notice: NetworkNotice) => void): () => void {
    if (this.#untold !== undefined) listener(this.#untold);
    this.#untold = undefined;
    return () => undefined;
  }

  lost(): void {
    // No VMM with a tap says so: a tap is always there.
  }

  denied(): Promise<number> {
    return readCount(countFileIn(this.#options.runDirectory));
  }

  detach(): void {
    // It goes on.
  }

  /** The VMM has ended, and with it slirp4netns: this is for one that hangs. */
  async end(): Promise<void> {
    if (this.#process !== undefined) await signalProcess(this.#process, "SIGKILL");
  }
}
