// A program that was started to be left alone, as a handle: its output, its end, its signals. kilnd keeps them; nothing of
// it hangs on this process.

import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { lastingAnswer } from "./lasting-answers.js";
import { type LogChunk, type LogOptions, readLogs } from "./logs.js";
import {
  type ProcessInfo,
  type ProcessStatus,
  processFromJson,
  processStatusFromJson,
} from "./process-info.js";
import type { Calls } from "./scoped-calls.js";

/** Options of `process.logs()`. Without any: all that is kept of all its runs, then the end. */
export type ProcessLogOptions = Omit<LogOptions, "console">;

const LOGS_OPTIONS: NamesOf<ProcessLogOptions> = {
  ...CALL,
  follow: true,
  tail: true,
  since: true,
  until: true,
};

/** Options of `process.remove()`. */
export interface RemoveProcessOptions extends CallOptions {
  /** Kills one that runs. */
  readonly force?: boolean | undefined;
}

const REMOVE_OPTIONS: NamesOf<RemoveProcessOptions> = { ...CALL, force: true };

/**
 * A handle on one of `vm.processes`. Letting go of it changes nothing: the program goes on, and `vm.processes.get(id)`
 * finds it again, from another program too.
 *
 * ```ts
 * const build = await vm.processes.start(["make", "-j4"], { restart: "on-failure" });
 * for await (const { data } of build.logs({ follow: true })) process.stdout.write(data);
 * const { exitCode } = await build.wait();
 * ```
 */
export class VmProcess {
  /** 32 hex characters. */
  readonly id: string;
  readonly #calls: Calls;
  readonly #vm: string;
  #info: ProcessInfo;

  /** Get handles from `vm.processes`. */
  constructor(calls: Calls, vm: string, info: ProcessInfo) {
    this.id = info.id;
    this.#calls = calls;
    this.#vm = vm;
    this.#info = info;
  }

  /** What kilnd said last; `inspect()` asks again. */
  get info(): ProcessInfo {
    return this.#info;
  }

  /**
   * Asks kilnd what has become of it.
   *
   * @throws KilnError not_found `exec-not-found`: it was removed, or ended before the last 32 that did
   */
  async inspect(options: CallOptions = {}): Promise<ProcessInfo> {
    checkOptions("process.inspect()", options, CALL);
    const { exec } = await this.#calls.unary("VmService/GetExec", this.#key(), options);
    this.#info = processFromJson(exec);
    return this.#info;
  }

  /** What it wrote, also after its end; with `follow` until it ends for good, over its runs and over as many kilnds as it takes. */
  async *logs(options: ProcessLogOptions = {}): AsyncGenerator<LogChunk, void> {
    checkOptions("process.logs()", options, LOGS_OPTIONS);
    yield* readLogs(this.#calls, this.#key(), options);
  }

  /** Waits until it has ended for good, whatever its policy does meanwhile, over as many kilnds as it takes. */
  async wait(options: CallOptions = {}): Promise<{ exitCode: number; status: ProcessStatus }> {
    checkOptions("process.wait()", options, CALL);
    const ask = (bound: CallOptions) => this.#calls.unary("VmService/WaitExec", this.#key(), bound);
    const json = await lastingAnswer(`WaitExec of ${this.id.slice(0, 12)}`, ask, options);
    const status = processStatusFromJson(json.status);
    this.#info = { ...this.#info, status };
    return { exitCode: json.exitCode ?? 0, status };
  }

  /**
   * Sends a signal to its process group. SIGKILL and SIGTERM end it for good, whatever its policy.
   *
   * @throws KilnError failed_precondition `exec-ended`
   */
  async kill(signal = "SIGKILL", options: CallOptions = {}): Promise<void> {
    checkOptions("process.kill()", options, CALL);
    await this.#calls.unary("VmService/SignalExec", { ...this.#key(), signal }, options);
  }

  /**
   * Removes one that has ended, with its output.
   *
   * @throws KilnError failed_precondition `exec-running`
   */
  async remove(options: RemoveProcessOptions = {}): Promise<void> {
    checkOptions("process.remove()", options, REMOVE_OPTIONS);
    const { force = false } = options;
    await this.#calls.unary("VmService/RemoveExec", { ...this.#key(), force }, options);
  }

  #key(): { vm: string; exec: string } {
    return { vm: this.#vm, exec: this.id };
  }
}
