// `vm.processes`: programs beside the VM's own that need nobody to attend to them.

import { Code, KilnError } from "../base/errors.js";
import type { ExecConfigJson } from "../gen/kiln/v1/process_pb.js";
import { type CallOptions, deadlineSignal } from "./deadline.js";
import { argumentsOf, notStarted, PROGRAM_OPTIONS, type ProgramOptions, planExec } from "./exec.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { lastingAnswer } from "./lasting-answers.js";
import { Listing } from "./listing.js";
import { type ProcessInfo, processFromJson } from "./process-info.js";
import type { Calls } from "./scoped-calls.js";
import type { RestartPolicy } from "./types.js";
import { planRestart } from "./vm-options.js";
import { VmProcess } from "./vm-process.js";

/** Options of `vm.processes.start()`. `signal` and `timeoutMs` are for the start alone; one that they cut short is undone. */
export interface StartProcessOptions extends ProgramOptions {
  /** What is done when it ends: "no", "on-failure" or "always". Default "no". It ends with its VM in any case. */
  readonly restart?: RestartPolicy["name"] | RestartPolicy | undefined;
}

const START_OPTIONS: NamesOf<StartProcessOptions> = { ...PROGRAM_OPTIONS, restart: true };

/** Options of `vm.processes.list()`. */
export interface ListProcessesOptions extends CallOptions {
  /** Also those that have ended, the last 32 of them. */
  readonly all?: boolean | undefined;
}

const LIST_OPTIONS: NamesOf<ListProcessesOptions> = { ...CALL, all: true };

/** The programs of one VM that `start()`, `vm.spawn()` and `kiln exec -d` have started. */
export class VmProcesses {
  readonly #calls: Calls;
  readonly #vm: string;

  constructor(calls: Calls, vm: string) {
    this.#calls = calls;
    this.#vm = vm;
  }

  /**
   * Starts a program and leaves it to itself. kilnd keeps its output and its end, and with `restart` brings it back; it
   * goes on when this process ends. A string is a line for the VM's /bin/sh.
   *
   * ```ts
   * const { id } = await vm.processes.start(["node", "server.js"], { restart: "always", user: "node" });
   * ```
   *
   * @throws KilnError failed_precondition `program-not-started`, `agent-too-old`: the VM was booted by an older kiln;
   * resource_exhausted `too-many-execs`
   */
  async start(command: readonly string[] | string, options: StartProcessOptions = {}): Promise<VmProcess> {
    checkOptions("vm.processes.start()", options, START_OPTIONS);
    const args = argumentsOf(command);
    const { restart, ...rest } = options;
    const policy = restart === undefined ? {} : { restart: planRestart(restart) };
    const config = { ...planExec(args, rest), ...policy, detach: true, keep: true };
    const signal = deadlineSignal(options);
    const id = await this.#start(args, config, { signal });
    // It runs: a kilnd that goes now must not make it look as if it did not.
    return lastingAnswer(`Exec of ${args[0]}`, (bound) => this.get(id, bound), { signal });
  }

  /**
   * A handle on one that was started before, by its id or a prefix of it that no other has.
   *
   * @throws KilnError not_found `exec-not-found`, invalid_argument `ambiguous-id`
   */
  async get(id: string, options: CallOptions = {}): Promise<VmProcess> {
    checkOptions("vm.processes.get()", options, CALL);
    const { exec } = await this.#calls.unary("VmService/GetExec", { vm: this.#vm, exec: id }, options);
    return new VmProcess(this.#calls, this.#vm, processFromJson(exec));
  }

  /** Those that run, oldest first. Await it for an array, or iterate it. */
  list(options: ListProcessesOptions = {}): Listing<ProcessInfo> {
    return new Listing(async () => {
      checkOptions("vm.processes.list()", options, LIST_OPTIONS);
      const request = { vm: this.#vm, all: options.all ?? false };
      const { execs = [] } = await this.#calls.unary("VmService/ListExecs", request, options);
      return execs.map(processFromJson);
    });
  }

  async #start(args: readonly string[], config: ExecConfigJson, bound: CallOptions): Promise<string> {
    const start = { vm: this.#vm, config };
    for await (const { started, exit } of this.#calls.serverStream("VmService/Exec", { start }, bound)) {
      if (exit !== undefined) throw notStarted(args, exit.code ?? 0, exit.error ?? "");
      if (started === undefined) continue;
      const { execId = "", pid = 0 } = started;
      if (execId === "") throw notKept(args, pid);
      return execId;
    }
    throw notStarted(args, 0, "kilnd ended the call");
  }
}

/** A kilnd of before does not know that it should have refused. */
function notKept(args: readonly string[], pid: number): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `start ${args[0]}: it runs, with process id ${pid} in the guest, but nothing is kept of it`,
    {
      reason: "exec-not-kept",
      hint: "kilnd is of an older kiln: restart it",
      details: { pid: String(pid) },
    },
  );
}
