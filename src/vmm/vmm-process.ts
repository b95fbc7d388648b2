// One VMM process, ours or one that an earlier kilnd started: its end, its last words, its use of the host.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { identifyProcess, isAlive, type ProcessId, readProcStat, signalProcess } from "../base/processes.js";
import { deferred, delay, NOT_NEEDED } from "../base/runtime.js";
import type { VmmStats } from "./types.js";

/** How a process ended; all undefined where it was not our child and nobody can know. */
export interface ProcessEnd {
  readonly code?: number;
  readonly signal?: NodeJS.Signals;
  /** What else is known of it, for people: that the kernel ended it for want of memory. */
  readonly note?: string | undefined;
}

export interface SpawnRequest {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** File descriptor for stdout, or a pipe to us (`untilSilent`); default /dev/null. */
  readonly stdout?: number | "pipe";
  /** What it has at descriptor 3 and on; a pipe's our end is `child.stdio[n]`. */
  readonly descriptors?: readonly (number | "pipe")[];
  /** Where the child only starts and watches the VMM: finds the VMM itself. */
  readonly find?: (child: ChildProcess, spawned: ProcessId) => Promise<ProcessId>;
  /** Where `find` failed: what the end of the child means, if anything is known of it. */
  readonly explain?: ((end: ProcessEnd) => KilnError | undefined) | undefined;
  /** Told the end before anybody else; its word goes into `note`. */
  readonly afterEnd?: (() => Promise<string | undefined>) | undefined;
}

const MAX_STDERR_BYTES = 8 * 1024;
const MAX_STDOUT_BYTES = 64 * 1024;
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
  readonly #words: LastWords | undefined;
  #output: Output | undefined;
  readonly #afterEnd: SpawnRequest["afterEnd"];
  #released = false;
  #polls = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    id: ProcessId,
    child: ChildProcess | undefined,
    words: LastWords | undefined,
    afterEnd: SpawnRequest["afterEnd"],
  ) {
    this.id = id;
    this.#child = child;
    this.#words = words;
    this.#afterEnd = afterEnd;
    this.ended = this.#ended.promise.then(async (end) => {
      const note = await this.#afterEnd?.().catch(() => undefined);
      return note === undefined ? end : { ...end, note };
    });
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
      stdio: ["ignore", request.stdout ?? "ignore", "pipe", ...(request.descriptors ?? [])],
    });
    const early = deferred<ProcessEnd>();
    child.once("exit", (code, signal) => early.resolve(toEnd(code, signal)));
    const words = readWords(child);
    const output = readOutput(child);
    await spawned(child, program);
    const pid = child.pid ?? 0;
    // A child that has already died has no start time to read; its end is on the way.
    const own = (await identifyProcess(pid)) ?? { pid, startTime: "" };
    const id = await findVmm(request, child, own, early.promise, words);
    const self = new VmmProcess(id, child, words, request.afterEnd);
    self.#output = output;
    void early.promise.then((end) => self.#childEnded(end));
    return self;
  }

  /** Watches a process that an earlier kilnd started. Undefined where it has ended. */
  static async attach(id: ProcessId, afterEnd?: SpawnRequest["afterEnd"]): Promise<VmmProcess | undefined> {
    if (!(await isAlive(id))) return undefined;
    const self = new VmmProcess(id, undefined, undefined, afterEnd);
    self.#poll();
    return self;
  }

  /** Looks often for a moment: something hints that the process is about to end. Our own children tell by themselves. */
  async expectEnd(): Promise<void> {
    if (!this.#polls) return;
    for (let waitMs = 1; waitMs < MOMENT_MS && !this.#released; waitMs *= 2) {
      if (await this.#looksEnded()) return;
      await delay(waitMs);
    }
  }

  /** SIGKILL, and its end. */
  async kill(): Promise<void> {
    if (!this.#polls) this.#child?.ref();
    await signalProcess(this.id, "SIGKILL");
    await this.expectEnd();
    await this.ended;
  }

  /** The process that was started: the VMM's own, or its monitor's. */
  get spawned(): number {
    return this.#child?.pid ?? this.id.pid;
  }

  /** The first of what it has said on stdout, where that is a pipe to us: of one that has ended all of it. */
  async untilSilent(): Promise<string> {
    await Promise.race([this.#output?.closed, delay(LAST_WORDS_MS)]);
    return this.#output?.text ?? "";
  }

  /** The last words on stderr; empty after a reattach. */
  stderrTail(): string {
    return this.#words?.text.trim() ?? "";
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

  /** Lets go of timer and pipes; the process goes on. */
  release(): void {
    this.#released = true;
    clearInterval(this.#timer);
    this.#child?.stdout?.destroy();
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

  #poll(): void {
    this.#polls = true;
    this.#timer = setInterval(() => void this.#looksEnded(), POLL_MS);
    this.#timer.unref();
  }

  /** A monitor that was killed tells nothing of the VMM, which goes on without it. */
  async #childEnded(end: ProcessEnd): Promise<void> {
    if (this.#child?.pid === this.id.pid || !(await isAlive(this.id).catch(() => true))) {
      this.#ended.resolve(end);
    } else if (!this.#released) {
      this.#poll();
    }
  }
}

/** The end of what a process says on stderr. */
interface LastWords {
  text: string;
}

function readWords(child: ChildProcess): LastWords {
  const words: LastWords = { text: "" };
  child.stderr?.setEncoding("utf8");
  child.stderr?.on("data", (text: string) => {
    words.text = (words.text + text).slice(-MAX_STDERR_BYTES);
  });
  return words;
}

/** The beginning of what a process says on stdout. */
interface Output {
  text: string;
  readonly closed: Promise<void>;
}

/** Read from the start on: what nobody listens to by the process's end is dropped. */
function readOutput(child: ChildProcess): Output | undefined {
  if (child.stdout === null) return undefined;
  const closed = new Promise<void>((resolve) => child.stdout?.once("close", resolve));
  const output: Output = { text: "", closed };
  child.stdout.setEncoding("latin1");
  child.stdout.on("data", (text: string) => {
    output.text = (output.text + text).slice(0, MAX_STDOUT_BYTES);
  });
  return output;
}

/** Pipes may be closed a moment after the process's end. */
const LAST_WORDS_MS = 500;

/** A killed process is gone in milliseconds, where it is at all. */
const KILLED_MS = 5_000;

async function withinMoment(ended: Promise<ProcessEnd>): Promise<ProcessEnd | undefined> {
  const enough = new AbortController();
  const late = delay(KILLED_MS, enough.signal).catch(() => undefined);
  try {
    return (await Promise.race([ended, late])) ?? undefined;
  } finally {
    enough.abort(NOT_NEEDED);
  }
}

function isLate(error: unknown): boolean {
  return error instanceof KilnError && error.code === Code.DeadlineExceeded;
}

function withWords(error: unknown, { text }: LastWords): KilnError {
  const { code, message, reason, hint } = KilnError.from(error);
  const said = text.trim() === "" ? message : `${message}: ${text.trim()}`;
  return new KilnError(code, said, { reason, hint, cause: error });
}

/** With whatever it has started so far: it leads a process group. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

/** The VMM's own process. A child that ends before it has told of one is told of by its last words. */
async function findVmm(
  { find, explain }: SpawnRequest,
  child: ChildProcess,
  own: ProcessId,
  ended: Promise<ProcessEnd>,
  words: LastWords,
): Promise<ProcessId> {
  if (find === undefined) return own;
  try {
    return await find(child, own);
  } catch (error) {
    killGroup(own.pid);
    // One that the kernel can't end (its file system hangs) is not waited for.
    const end = await withinMoment(ended);
    if (end === undefined || isLate(error)) throw withWords(error, words);
    const known = explain?.(end);
    if (known !== undefined) throw known;
    await Promise.race([
      child.stderr === null ? undefined : once(child.stderr, "close"),
      delay(LAST_WORDS_MS),
    ]);
    const why = [describeEnd(end), words.text.trim()].filter((word) => word !== "").join("; ");
    throw new KilnError(Code.FailedPrecondition, `start the VMM in its jail: ${why}`, {
      reason: "vmm-not-started",
      cause: error,
    });
  }
}

/** "exit code 1", "signal SIGKILL", with what a VMM's own signals mean. */
export function describeEnd(end: ProcessEnd): string {
  const how = describeHow(end);
  return end.note === undefined ? how : `${how}: ${end.note}`;
}

function describeHow(end: ProcessEnd): string {
  if (end.signal === "SIGSYS") return "signal SIGSYS: its seccomp sandbox refused a system call";
  if (end.signal !== undefined) return `signal ${end.signal}`;
  if (end.code !== undefined) return `exit code ${end.code}`;
  return "nobody saw how";
}

function toEnd(code: number | null, signal: NodeJS.Signals | null): ProcessEnd {
  if (signal !== null) return { signal };
  if (code === null) return {};
  // A jail's monitor tells the signal that ended its program as shells do.
  const killedBy = code > SIGNAL_BASE ? signalOf(code - SIGNAL_BASE) : undefined;
  return killedBy === undefined ? { code } : { signal: killedBy };
}

/** What shells, and the monitor of a jail, add to the number of the signal that ended a program. */
export const SIGNAL_BASE = 128;

function signalOf(number: number): NodeJS.Signals | undefined {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] as NodeJS.Signals | undefined;
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
