// One VMM process, ours or one that an earlier kilnd started: its end, its last words, its use of the host.

import { type ChildProcess, spawn } from "node:child_process";
import { Code, KilnError } from "../base/errors.js";
import { identifyProcess, isAlive, type ProcessId, readProcStat, signalProcess } from "../base/processes.js";
import { deferred, delay } from "../base/runtime.js";
import type { VmmStats } from "./types.js";

/** How a process ended; all undefined where it was not our child and nobody can know. */
export interface ProcessEnd {
  readonly code?: number;
  readonly signal?: NodeJS.Signals;
}

export interface SpawnRequest {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** File descriptor for stdout; default /dev/null. */
  readonly stdout?: number;
}

const MAX_STDERR_BYTES = 8 * 1024;
/** Nothing tells of the end of a process that is not our child; the control socket's close does, mostly. */
const POLL_MS = 500;
/** Twice the longest wait between two looks at a process that is about to end. */
const MOMENT_MS = 1000;
/** USER_HZ: what proc(5) counts CPU time in, on every Linux that we run on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

export class VmmProcess {
  readonly id: ProcessId;
  /** Resolves once the process has ended. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  readonly #ended = deferred<ProcessEnd>();
  readonly #child: ChildProcess | undefined;
  #stderr = "";
  #released = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(id: ProcessId, child: ChildProcess | undefined) {
    this.id = id;
    this.#child = child;
    this.ended = this.#ended.promise;
  }

  /**
   * Starts a process in a session of its own, which outlives us. Its stderr is a pipe to us of which the end is
   * kept: when we are gone its writes fail and it goes on (a file could be filled by a hostile guest, a FIFO would
   * block the VMM when full).
   *
   * @throws KilnError `vmm-not-started` where there is no such program
   */
  static async spawn(request: SpawnRequest): Promise<VmmProcess> {
    const [program = "", ...args] = request.argv;
    const child = spawn(program, args, {
      cwd: "/",
      detached: true,
      env: { ...request.env },
      stdio: ["ignore", request.stdout ?? "ignore", "pipe"],
    });
    const early = deferred<ProcessEnd>();
    child.once("exit", (code, signal) => early.resolve(toEnd(code, signal)));
    await spawned(child, program);
    const pid = child.pid ?? 0;
    // A child that has already died has no start time to read; its end is on the way.
    const id = (await identifyProcess(pid)) ?? { pid, startTime: "" };
    const self = new VmmProcess(id, child);
    self.#readStderr(child);
    void early.promise.then((end) => self.#ended.resolve(end));
    return self;
  }

  /** Watches a process that an earlier kilnd started. Undefined where it has ended. */
  static async attach(id: ProcessId): Promise<VmmProcess | undefined> {
    if (!(await isAlive(id))) return undefined;
    const self = new VmmProcess(id, undefined);
    self.#timer = setInterval(() => void self.#looksEnded(), POLL_MS);
    self.#timer.unref();
    return self;
  }

  /** Looks often for a moment: something hints that the process is about to end. Our own children tell by themselves. */
  async expectEnd(): Promise<void> {
    if (this.#child !== undefined) return;
    for (let waitMs = 1; waitMs < MOMENT_MS && !this.#released; waitMs *= 2) {
      if (await this.#looksEnded()) return;
      await delay(waitMs);
    }
  }

  /** SIGKILL, and its end. */
  async kill(): Promise<void> {
    this.#child?.ref();
    await signalProcess(this.id, "SIGKILL");
    await this.expectEnd();
    await this.ended;
  }

  /** The last words on stderr; empty after a reattach. */
  stderrTail(): string {
    return this.#stderr.trim();
  }

  async stats(): Promise<VmmStats> {
    const stat = await readProcStat(this.id.pid);
    if (stat === undefined || !(await isAlive(this.id))) {
      throw new KilnError(Code.NotFound, `read the use of VMM process ${this.id.pid}: it has ended`, {
        reason: "vmm-gone",
      });
    }
    return { cpuMs: (stat.cpuTicks * 1000) / TICKS_PER_SECOND, rssBytes: stat.rssPages * PAGE_BYTES };
  }

  /** Lets go of timer and pipe; the process goes on. */
  release(): void {
    this.#released = true;
    clearInterval(this.#timer);
    this.#child?.stderr?.destroy();
    this.#child?.unref();
  }

  async #looksEnded(): Promise<boolean> {
    // An unreadable /proc proves nothing.
    if (await isAlive(this.id).catch(() => true)) return false;
    clearInterval(this.#timer);
    this.#ended.resolve({});
    return true;
  }

  #readStderr(child: ChildProcess): void {
    child.stderr?.setEncoding("utf8");
    child.stderr?.on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR_BYTES);
    });
  }
}

/** "exit code 1", "signal SIGKILL", with what a VMM's own signals mean. */
export function describeEnd(end: ProcessEnd): string {
  if (end.signal === "SIGSYS") return "signal SIGSYS: its seccomp sandbox refused a system call";
  if (end.signal !== undefined) return `signal ${end.signal}`;
  if (end.code !== undefined) return `exit code ${end.code}`;
  return "nobody saw how";
}

function toEnd(code: number | null, signal: NodeJS.Signals | null): ProcessEnd {
  if (signal !== null) return { signal };
  return code === null ? {} : { code };
}

function spawned(child: ChildProcess, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => {
      reject(
        new KilnError(Code.FailedPrecondition, `start ${program}: ${error.message}`, {
          reason: "vmm-not-started",
          hint: `install ${program}, or see to it that it is in the daemon's PATH`,
          cause: error,
        }),
      );
    });
  });
}
