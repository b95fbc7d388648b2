// Keeps one VM's card connected: starts passt, starts it again when it has died (a bounded number of times), finds the one
// that an earlier kilnd started, and sees to it that none is left when the VM has ended.

import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { KilnError } from "../../base/errors.js";
import { readHelperRecord, writeHelperRecord } from "../../base/helper-record.js";
import { isAlive, type ProcessId, signalProcess } from "../../base/processes.js";
import { delay } from "../../base/runtime.js";
import type { NetworkNotice, UserNetwork } from "../types.js";
import { countFileIn, readCount } from "./denied.js";
import { type RunningPasst, startPasst } from "./passt.js";
import type { PasstPlan } from "./plan.js";

/** In a directory that only kilnd writes. */
const RECORD = "passt.json";
/** A passt that dies at what its guest sends would die for ever. */
const MAX_RESTARTS = 5;
const WINDOW_MS = 60_000;
const FIRST_PAUSE_MS = 100;

export interface KeeperOptions {
  readonly runDirectory: string;
  /** Where the VMM listens for its card's other end. */
  readonly socket: string;
  /** Made anew for each process: resolvers change. */
  readonly plan: () => Promise<PasstPlan>;
  /** Puts each process under the VM's limits, where it has some. */
  readonly join?: ((pid: number) => Promise<void>) | undefined;
  readonly nowMs?: (() => number) | undefined;
  /** For tests. */
  readonly start?: ((plan: PasstPlan, socket: string) => Promise<RunningPasst>) | undefined;
}

/** Not the clock on the wall: set back by an hour it would make five losses of an hour five of a minute. */
const sinceStart = () => performance.now();

export class UserNetworkKeeper implements UserNetwork {
  readonly #options: KeeperOptions;
  readonly #listeners = new Set<(notice: NetworkNotice) => void>();
  readonly #restarts: number[] = [];
  readonly #stop = new AbortController();
  #passt: RunningPasst | undefined;
  #found: ProcessId | undefined;
  #work: Promise<void> = Promise.resolve();
  /** A loss that is still to be looked at: more of them say nothing more. */
  #isLost = false;
  /** Given up until then, and told: another loss is no news. */
  #downUntil = Number.NEGATIVE_INFINITY;

  private constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** @throws KilnError as `startPasst` */
  static async start(options: KeeperOptions): Promise<UserNetworkKeeper> {
    const keeper = new UserNetworkKeeper(options);
    await keeper.#start();
    return keeper;
  }

  /** For a VM that an earlier kilnd started. Never fails: what can't be had is told as a notice. */
  static async adopt(options: KeeperOptions): Promise<UserNetworkKeeper> {
    const keeper = new UserNetworkKeeper(options);
    keeper.#found = await readHelperRecord(join(options.runDirectory, RECORD));
    const { process } = keeper;
    if (process === undefined || !(await isAlive(process))) keeper.lost();
    // One of an earlier release is outside; where it can't be moved the VM's network goes on as it was.
    else await options.join?.(process.pid).catch(() => undefined);
    return keeper;
  }

  /** The process that runs now. */
  get process(): ProcessId | undefined {
    return this.#passt?.id ?? this.#found;
  }

  /** Tells of restarts and of giving up. Returns the way to stop listening. */
  listen(listener: (notice: NetworkNotice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The VMM says that the card's other end has gone. It may say so without end, and it may lie. */
  lost(): void {
    const { nowMs = sinceStart } = this.#options;
    if (this.#isLost || nowMs() < this.#downUntil) return;
    this.#isLost = true;
    this.#work = this.#work.then(() => {
      this.#isLost = false;
      return this.#restart();
    });
  }

  denied(): Promise<number> {
    return readCount(countFileIn(this.#options.runDirectory));
  }

  /** Resolves when what was begun has been done. */
  settled(): Promise<void> {
    return this.#work;
  }

  /** Lets go; passt goes on. */
  detach(): void {
    this.#stop.abort();
    this.#passt?.release();
  }

  /** The VM has ended, and with its connection passt: this is for one that hangs. */
  async end(): Promise<void> {
    this.detach();
    await this.#work;
    const { process } = this;
    if (process !== undefined) await signalProcess(process, "SIGKILL");
  }

  async #start(): Promise<void> {
    const { plan, socket, runDirectory, join: joinLimits, start = startPasst } = this.#options;
    const passt = await start(await plan(), socket);
    this.#passt = passt;
    try {
      await writeHelperRecord(join(runDirectory, RECORD), passt.id);
      await joinLimits?.(passt.id.pid);
    } catch (error) {
      // One that a later kilnd would not find: it would start a second. Or one without limits.
      await signalProcess(passt.id, "SIGKILL");
      throw error;
    }
  }

  async #restart(): Promise<void> {
    const { nowMs = sinceStart } = this.#options;
    let why = this.#passt?.lastWords() ?? "";
    await this.#endOld();
    for (let pauseMs = 0; !this.#stop.signal.aborted; pauseMs = Math.max(FIRST_PAUSE_MS, 2 * pauseMs)) {
      const since = nowMs() - WINDOW_MS;
      while ((this.#restarts[0] ?? since) < since) this.#restarts.shift();
      if (this.#restarts.length >= MAX_RESTARTS) {
        this.#downUntil = (this.#restarts[0] ?? since) + WINDOW_MS;
        return this.#tell(true, why);
      }
      this.#restarts.push(nowMs());
      try {
        await delay(pauseMs, this.#stop.signal);
        await this.#start();
        return this.#tell(false, why);
      } catch (error) {
        why = KilnError.from(error).message;
      }
    }
  }

  /** Never two for one VM: the VMM's word for the end of the first is not believed. */
  async #endOld(): Promise<void> {
    const { process } = this;
    this.#passt?.release();
    this.#passt = undefined;
    this.#found = undefined;
    if (process !== undefined) await signalProcess(process, "SIGKILL");
  }

  #tell(down: boolean, why: string): void {
    // The VM has ended, or we let go of it: its network's end is no news.
    if (this.#stop.signal.aborted) return;
    const words = why === "" ? "" : ` (${why})`;
    const message = down
      ? `passt ended ${MAX_RESTARTS} times within a minute${words}: the VM has no network until it is restarted`
      : `passt had ended${words} and was started again: connections that the guest had open are lost`;
    for (const listener of this.#listeners) listener({ down, message });
  }
}
