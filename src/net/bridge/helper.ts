// Processes of a network's that outlive kilnd: on record before they begin, so that none runs that nobody knows of.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { failpoint } from "../../base/failpoint.js";
import { readHelperRecord, writeHelperRecord } from "../../base/helper-record.js";
import { keepText } from "../../base/kept-text.js";
import { planEnvironment } from "../../base/privileges.js";
import { identifyProcess, isAlive, type ProcessId, signalProcess } from "../../base/processes.js";
import { deferred, delay } from "../../base/runtime.js";
import { networkFailed } from "./run-program.js";

const BEGIN_TIMEOUT_MS = 15_000;
const LOOK_MS = 5;
const MAX_TOLD_BYTES = 1024;
/** Beside the standard descriptors: where a helper may say something before it begins. */
export const TOLD_FD = 3;

/** Goes before a program that is to begin once it is on record: a kilnd that dies before that ends it by closing its stdin. */
export function held(...program: readonly string[]): string[] {
  return ["sh", "-c", 'read -r go && exec "$@" </dev/null', "sh", ...program];
}

export interface HelperPlan {
  /** "the resolver of network blue": for errors. */
  readonly what: string;
  /** With `held` in it. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Path, in a directory that only kilnd writes. */
  readonly record: string;
  /** What it writes to TOLD_FD before it begins: how the pid is found in it. None: it is the process that is started. */
  readonly pidIn?: RegExp | undefined;
  /** What it says on stderr, or to TOLD_FD, once it has begun. */
  readonly begun: RegExp;
  /** What it says nothing of: looked at again and again from then on. */
  readonly isUp?: (() => Promise<boolean>) | undefined;
}

/** The one on record; undefined where it has ended, or none is. */
export async function runningHelper(record: string): Promise<ProcessId | undefined> {
  const found = await readHelperRecord(record);
  return found !== undefined && (await isAlive(found)) ? found : undefined;
}

export async function endHelper(record: string): Promise<void> {
  const found = await runningHelper(record);
  if (found !== undefined) await signalProcess(found, "SIGKILL");
  failpoint("helper.ended");
  await rm(record, { force: true });
}

/** Returns once it has begun. @throws KilnError unavailable `network-failed` */
export async function startHelper(plan: HelperPlan): Promise<ProcessId> {
  const [program = "", ...args] = plan.argv;
  // No pipe: bubblewrap would end by one that nobody reads any more, and its child wait for it for ever, on no record.
  await using told = plan.pidIn === undefined ? undefined : await openUnnamed(`${plan.record}.told`);
  const child = spawn(program, args, {
    cwd: "/",
    detached: true,
    env: planEnvironment(plan.environment),
    stdio: ["pipe", "ignore", "pipe", told?.fd ?? "pipe"],
  });
  failpoint("helper.started");
  const run = new Beginning(child, plan, told);
  try {
    const id = await run.identify();
    failpoint("helper.spawned");
    await writeHelperRecord(plan.record, id);
    failpoint("helper.recorded");
    await run.begin();
    run.release();
    return id;
  } catch (error) {
    await run.end();
    throw networkFailed(`start ${plan.what}: ${(error as Error).message} ${run.lastWords()}`.trim(), error);
  }
}

/** @returns a file that has no name any more, and goes with who has it open. @throws Error of the file system */
async function openUnnamed(path: string): Promise<FileHandle> {
  const file = await open(path, "w+", 0o600);
  await rm(path, { force: true });
  return file;
}

class Beginning {
  readonly #child: ChildProcess;
  readonly #plan: HelperPlan;
  readonly #words: () => string;
  readonly #told: () => string;
  readonly #file: FileHandle | undefined;
  readonly #ended = deferred<never>();
  #id: ProcessId | undefined;

  /** @param file where it says how its pid is found; none: in a pipe */
  constructor(child: ChildProcess, plan: HelperPlan, file: FileHandle | undefined) {
    this.#child = child;
    this.#plan = plan;
    this.#file = file;
    this.#words = keepText(child.stderr);
    this.#told = this.#pipe === undefined ? () => "" : keepText(this.#pipe);
    this.#ended.promise.catch(() => undefined);
    child.once("error", this.#ended.reject);
    child.once("exit", () => this.#ended.reject(new Error("it ended at once")));
    // It may be gone: its exit says so.
    child.stdin?.on("error", () => undefined);
  }

  lastWords(): string {
    return this.#words().trim().split("\n").at(-1) ?? "";
  }

  async identify(): Promise<ProcessId> {
    const pid = (await this.#toldPid()) ?? this.#child.pid;
    // An error of spawn's has its own words.
    if (pid === undefined) return this.#ended.promise;
    this.#id = await identifyProcess(pid);
    return this.#id ?? this.#ended.promise;
  }

  async #toldPid(): Promise<number | undefined> {
    const { pidIn } = this.#plan;
    const file = this.#file;
    if (pidIn === undefined || file === undefined) return undefined;
    const tell = async () => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_TOLD_BYTES), 0, MAX_TOLD_BYTES, 0);
      return pidIn.exec(buffer.toString("latin1", 0, bytesRead))?.[1];
    };
    let pid: string | undefined;
    await this.#lookUntil(async () => {
      pid = await tell();
      return pid !== undefined;
    });
    return Number(pid);
  }

  async begin(): Promise<void> {
    const { begun } = this.#plan;
    const done = this.#until(() => begun.test(this.#words()) || begun.test(this.#told()));
    this.#child.stdin?.end("go\n");
    await done;
    await this.#untilUp();
  }

  /** Lets go of it: it goes on. */
  release(): void {
    this.#child.unref();
    this.#child.stderr?.destroy();
    this.#pipe?.destroy();
  }

  async end(): Promise<void> {
    const isRunning =
      this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
    const exited = isRunning ? once(this.#child, "exit") : undefined;
    if (this.#id !== undefined) await signalProcess(this.#id, "SIGKILL");
    this.#child.kill("SIGKILL");
    await exited;
    await rm(this.#plan.record, { force: true });
    this.release();
  }

  async #untilUp(): Promise<void> {
    const { isUp } = this.#plan;
    if (isUp !== undefined) await this.#lookUntil(isUp);
  }

  async #lookUntil(isSo: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + BEGIN_TIMEOUT_MS;
    while (!(await isSo())) {
      if (Date.now() > deadline) throw new Error("it did not begin in time");
      await Promise.race([delay(LOOK_MS), this.#ended.promise]);
    }
  }

  get #pipe(): Readable | undefined {
    return (this.#child.stdio[TOLD_FD] as Readable | null | undefined) ?? undefined;
  }

  /** Looks at each word that comes. */
  async #until(isSo: () => boolean): Promise<void> {
    const so = deferred<void>();
    const look = () => isSo() && so.resolve();
    const streams = [this.#child.stderr, this.#pipe].filter(
      (stream) => stream !== null && stream !== undefined,
    );
    for (const stream of streams) stream.on("data", look);
    const timer = setTimeout(() => so.reject(new Error("it did not begin in time")), BEGIN_TIMEOUT_MS);
    try {
      look();
      await Promise.race([so.promise, this.#ended.promise]);
    } finally {
      clearTimeout(timer);
      for (const stream of streams) stream.off("data", look);
    }
  }
}
