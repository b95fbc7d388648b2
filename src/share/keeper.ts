// Keeps one share served: starts a server, starts it again whenever it has ended, finds the one that an earlier kilnd has
// started, and sees to it that none is left when the VM has ended. A guest's I/O waits meanwhile, so it is never given up
// but where the server says that it can't serve at all.

import { join as joinPath } from "node:path";
import { KilnError } from "../base/errors.js";
import { isAlive, type ProcessId, signalProcess } from "../base/processes.js";
import { delay } from "../base/runtime.js";
import type { SourceIdentity } from "./identity.js";
import { readShareRecord, writeShareRecord } from "./record.js";
import { type RunningServer, startServer } from "./server.js";
import type { Share, ShareConnection, ShareNotice, ShareSpec } from "./types.js";

/** One that ends at once, again and again, does so ever more seldom. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;
/** Where none could be started: a source that is back is found as soon, for the price of a look. */
const LOOK_AGAIN_MS = 1_000;
/** One that has lived for so long does not die of its start: the next one need not wait. */
const SETTLED_MS = 150;
/** Of a server that is no child of ours nobody tells its end. */
const LOOK_MS = 250;

export interface KeeperOptions extends ShareConnection {
  readonly spec: ShareSpec;
  /** kiln-share's path. */
  readonly program: string;
  readonly nowMs?: (() => number) | undefined;
  /** For tests. */
  readonly start?: ((same: SourceIdentity | undefined) => Promise<RunningServer>) | undefined;
}

export class ShareKeeper implements Share {
  readonly #options: KeeperOptions;
  readonly #listeners = new Set<(notice: ShareNotice) => void>();
  readonly #stop = new AbortController();
  #server: RunningServer | undefined;
  #found: ProcessId | undefined;
  /** What has been served until now. */
  #source: SourceIdentity | undefined;
  #notice: ShareNotice | undefined;
  #work: Promise<void> = Promise.resolve();

  private constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** @throws KilnError as `startServer` */
  static async start(options: KeeperOptions): Promise<ShareKeeper> {
    const keeper = new ShareKeeper(options);
    const server = await keeper.#start();
    keeper.#work = keeper.#keep(server.ended);
    return keeper;
  }

  /** For a VM that an earlier kilnd started. Never fails: what can't be had is told as a notice, and tried again. */
  static async adopt(options: KeeperOptions): Promise<ShareKeeper> {
    const keeper = new ShareKeeper(options);
    const { runDirectory, spec } = options;
    const { process: found, source } = await readShareRecord(recordPath(runDirectory, spec.id));
    keeper.#found = found;
    keeper.#source = source;
    keeper.#work = keeper.#keep(found === undefined ? NEVER_STARTED : keeper.#endOf(found));
    return keeper;
  }

  /** The process that serves now, as far as it is known. */
  get process(): ProcessId | undefined {
    return this.#server?.id ?? this.#found;
  }

  get notice(): ShareNotice | undefined {
    return this.#notice;
  }

  listen(listener: (notice: ShareNotice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  detach(): void {
    this.#stop.abort();
    this.#server?.release();
  }

  async end(): Promise<void> {
    this.detach();
    await this.#work;
    const { process } = this;
    if (process !== undefined) await signalProcess(process, "SIGKILL");
  }

  /** Until we let go, or nobody can serve it. */
  async #keep(first: Promise<End>): Promise<void> {
    const { nowMs = Date.now } = this.#options;
    let pauseMs = 0;
    for (let ended = first; ; ) {
      const since = nowMs();
      const end = await this.#orStopped(ended);
      if (end === undefined) return;
      if (nowMs() - since >= SETTLED_MS) pauseMs = 0;
      this.#server?.release();
      this.#server = undefined;
      this.#found = undefined;
      if (!(await this.#options.vmLives())) return;
      this.#tell(true, end.forGood ? `${end.why}: it is not served until the VM is started again` : end.why);
      if (end.forGood) return;
      const next = await this.#startAgain(pauseMs);
      if (next === undefined) return;
      this.#tell(false, "it is served again");
      ended = next.ended;
      pauseMs = later(pauseMs);
    }
  }

  /** Undefined where we let go first. */
  async #startAgain(firstPauseMs: number): Promise<RunningServer | undefined> {
    for (let pauseMs = firstPauseMs; !this.#stop.signal.aborted; pauseMs = later(pauseMs, LOOK_AGAIN_MS)) {
      try {
        await delay(pauseMs, this.#stop.signal);
        return await this.#start();
      } catch (error) {
        const { message, hint } = KilnError.from(error);
        this.#tell(true, hint === undefined ? message : `${message} (${hint})`);
      }
    }
    return undefined;
  }

  async #start(): Promise<RunningServer> {
    const { program, spec, runDirectory, join, start } = this.#options;
    const same = this.#source;
    const server = await (start?.(same) ?? startServer(program, spec, this.#options, same));
    this.#server = server;
    try {
      await writeShareRecord(recordPath(runDirectory, spec.id), server.id, server.source);
      this.#source = server.source;
      await join(server.id.pid);
      server.go();
      return server;
    } catch (error) {
      // One that a later kilnd would not find: it would start a second. Or one without limits.
      this.#server = undefined;
      server.release();
      await signalProcess(server.id, "SIGKILL");
      throw error;
    }
  }

  async #endOf(found: ProcessId): Promise<End> {
    while (await isAlive(found)) await delay(LOOK_MS, this.#stop.signal);
    return { why: "its server has ended", forGood: false };
  }

  /** Undefined where we let go first. */
  async #orStopped(ended: Promise<End>): Promise<End | undefined> {
    const stopped = new Promise<undefined>((resolve) => {
      const { signal } = this.#stop;
      if (signal.aborted) resolve(undefined);
      else signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    try {
      return await Promise.race([ended, stopped]);
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      throw error;
    }
  }

  #tell(away: boolean, why: string): void {
    // The VM has ended, or we let go of it: its share's end is no news.
    if (this.#stop.signal.aborted) return;
    // Tried again for ever, for the same reason.
    if (away && this.#notice?.message === why) return;
    const notice = { away, message: why };
    this.#notice = away ? notice : undefined;
    for (const listener of this.#listeners) listener(notice);
  }
}

interface End {
  readonly why: string;
  readonly forGood: boolean;
}

const NEVER_STARTED: Promise<End> = Promise.resolve({ why: "no server is on record", forGood: false });

function later(pauseMs: number, longestMs = LONGEST_PAUSE_MS): number {
  return Math.min(longestMs, Math.max(FIRST_PAUSE_MS, 2 * pauseMs));
}

/** Of the process that serves a share. */
function recordPath(runDirectory: string, share: string): string {
  return joinPath(runDirectory, `share-${share}.json`);
}
