// What users do with programs that `exec -d` has started: start, list, read, wait, signal, remove.

import { isRefusal } from "../../agent/index.js";
import { defined } from "../../base/defined.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { until } from "../common/notifier.js";
import { signalNumber } from "../common/signals.js";
import type { OutputPlace } from "../output/log-position.js";
import type { LogChunk, ReadLogOptions } from "../output/vm-log.js";
import { type EngineContext, vmLogger } from "../run/context.js";
import { follow } from "../run/followers.js";
import { runningSession } from "../run/vm-access.js";
import type { VmEntry } from "../vm/entry.js";
import type { RestartPolicy } from "../vm/vm-config.js";
import { findWorkload, type WorkloadEntry } from "./entry.js";
import type { ExecOutput, ExecSpec, ProcessInput } from "./process-io.js";
import type { WorkloadSets } from "./sets.js";
import { checkExec, execInVm } from "./vm-exec.js";

const CALL_MS = 5_000;
const NO_RESTART: RestartPolicy = { name: "no", maximumRetryCount: 0 };

/** The programs beside the main ones, by VM and id. */
export class WorkloadVerbs {
  readonly #ctx: EngineContext;
  readonly #sets: WorkloadSets;

  constructor(ctx: EngineContext, sets: WorkloadSets) {
    this.#ctx = ctx;
    this.#sets = sets;
  }

  /** @param all false: only those that are not over */
  list(vm: VmEntry, all: boolean): WorkloadEntry[] {
    return this.#sets
      .of(vm)
      .list()
      .filter((entry) => all || !entry.isOver);
  }

  /** By full id or unique prefix. @throws KilnError not_found `exec-not-found` */
  find(vm: VmEntry, key: string): WorkloadEntry {
    return findWorkload(this.#sets.of(vm).list(), key, vm.name);
  }

  /**
   * Starts a program that is left to itself: kept where the VM's agent can keep it, else as it always was, unseen.
   *
   * @param input not read: its stdin is empty
   * @throws KilnError as execInVm; invalid_argument `bad-restart-policy`, resource_exhausted `too-many-execs`,
   * failed_precondition `agent-too-old` where it is to be restarted, or to be kept in any case
   */
  async *start(
    vm: VmEntry,
    spec: ExecSpec,
    input: AsyncIterable<ProcessInput>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ExecOutput> {
    const restart = spec.restart ?? NO_RESTART;
    checkExec(vm, spec);
    checkRestart(vm, restart);
    const { features } = await runningSession(vm, "exec in", signal);
    const asked = defined({ signal });
    if (restart.name !== "no") await features.need("workloads", `restart a program in VM ${vm.name}`, asked);
    if (spec.keep === true) await features.need("workloads", `keep a program of VM ${vm.name}`, asked);
    if (!(await features.has("workloads", asked))) {
      yield* execInVm(this.#ctx, vm, { kind: "start", spec }, input, signal);
      return;
    }
    const { args, env, user, workdir, tty, columns, rows } = spec;
    const wanted = { args: [...args], env: [...env], user, workdir, tty, columns, rows, restart };
    signal?.throwIfAborted();
    const entry = await this.#sets.of(vm).start(wanted);
    try {
      await until(entry.changed, () => (entry.state === "starting" ? undefined : true), signal);
    } catch (error) {
      this.#giveUp(vm, entry);
      throw error;
    }
    yield await this.#outcome(vm, entry);
  }

  /** The program's output, also after its end. */
  async *logs(
    vm: VmEntry,
    key: string,
    options: ReadLogOptions & { readonly after?: OutputPlace | undefined },
  ): AsyncGenerator<LogChunk> {
    const { output } = this.find(vm, key);
    const { after, ...rest } = options;
    const release = options.follow === true ? await follow(this.#ctx, vm) : vm.log.hold();
    try {
      const from = after && { from: await output.placeOf(after), tail: undefined, since: undefined };
      yield* output.read({ ...rest, ...from });
    } finally {
      release();
    }
  }

  /** Resolves once it is over, whatever its policy does meanwhile. */
  async wait(vm: VmEntry, key: string, signal: AbortSignal | undefined): Promise<WorkloadEntry> {
    const entry = this.find(vm, key);
    const release = await follow(this.#ctx, vm);
    try {
      await until(entry.changed, () => (entry.isOver || entry.removed ? true : undefined), signal);
      return entry;
    } finally {
      release();
    }
  }

  /**
   * KILL and TERM end it for good.
   *
   * @param name empty: KILL
   * @throws KilnError failed_precondition `exec-ended`
   */
  async signal(vm: VmEntry, key: string, name: string, caller?: AbortSignal): Promise<void> {
    const entry = this.find(vm, key);
    const number = signalNumber(name === "" ? "KILL" : name);
    await until(entry.changed, () => (entry.state === "starting" ? undefined : true), caller);
    const ends = number === signalNumber("KILL") || number === signalNumber("TERM");
    if (entry.state === "restarting" && ends) return this.#endResting(entry);
    if (entry.state !== "running") throw hasEnded(vm, entry);
    if (ends) await this.#written(entry, entry.note({ stoppedByUser: true }));
    const session = await runningSession(vm, "signal a program of", caller);
    try {
      await session.workloads.get(entry.agentId).signal(number, { timeoutMs: CALL_MS });
    } catch (error) {
      // It was quicker.
      if (isRefusal(error)) throw hasEnded(vm, entry);
      throw KilnError.from(error, `send signal ${number} to exec ${entry.shortId} in VM ${vm.name}`);
    }
  }

  /**
   * Takes one away, with its log.
   *
   * @param force kills it where it runs
   * @throws KilnError failed_precondition `exec-running`, not_found `exec-not-found`
   */
  async remove(vm: VmEntry, key: string, force: boolean, caller?: AbortSignal): Promise<WorkloadEntry> {
    const entry = this.find(vm, key);
    if (!entry.isOver) {
      if (!force) throw stillRuns(vm, entry);
      await this.signal(vm, entry.id, "KILL", caller).catch((error: unknown) => {
        // It was quicker, or another has killed it.
        if (!hasReason(error, "exec-ended")) throw error;
      });
      await until(entry.changed, () => (entry.isOver || entry.removed ? true : undefined), caller);
    }
    await this.#sets.of(vm).remove(entry);
    return entry;
  }

  /** Of a start: one that came to nothing leaves nothing. */
  async #outcome(vm: VmEntry, entry: WorkloadEntry): Promise<ExecOutput> {
    const { pid, reason, exitCode, message, run } = entry.status;
    if (entry.isOver && run === 1 && reason === "program-not-started") {
      await this.#sets.of(vm).drop(entry);
      return { kind: "exit", code: exitCode, error: message };
    }
    return { kind: "started", pid, resumable: false, stdinNext: 0n, execId: entry.id };
  }

  /** Of a caller who left before it was told of it, and would not know what runs. A kilnd that goes leaves nobody. */
  #giveUp(vm: VmEntry, entry: WorkloadEntry): void {
    const { leaving } = this.#ctx;
    if (leaving.aborted) return;
    this.remove(vm, entry.id, true, leaving).catch((error: unknown) => {
      const why = KilnError.from(error).message;
      vmLogger(this.#ctx, vm).debug("a program whose caller has left goes on", { exec: entry.shortId, why });
    });
  }

  async #endResting(entry: WorkloadEntry): Promise<void> {
    const reason = "program-exited";
    await this.#written(entry, entry.note({ state: "exited", stoppedByUser: true, reason }, true));
    await entry.output.end();
  }

  /** What can't be written down (a full disk) keeps no program from being ended. */
  async #written(entry: WorkloadEntry, write: Promise<void>): Promise<void> {
    await write.catch((error: unknown) => {
      const why = KilnError.from(error).message;
      this.#ctx.log.error("what became of a program can't be written", { exec: entry.shortId, why });
    });
  }
}

function checkRestart({ name: vm }: VmEntry, { name, maximumRetryCount }: RestartPolicy): void {
  const what = `exec in VM ${vm}`;
  if (name === "unless-stopped") {
    throw new KilnError(Code.InvalidArgument, `${what}: it can't be restarted "unless-stopped"`, {
      reason: "bad-restart-policy",
      hint: "choose one of no, on-failure, always: it ends with its VM in any case",
    });
  }
  if (maximumRetryCount === 0 || name === "on-failure") return;
  throw new KilnError(
    Code.InvalidArgument,
    `${what}: a number of retries goes with on-failure, not ${name}`,
    {
      reason: "bad-restart-policy",
    },
  );
}

function hasEnded(vm: VmEntry, entry: WorkloadEntry): KilnError {
  const text =
    entry.state === "restarting"
      ? "has ended, and is not started again yet"
      : `has ended (${entry.status.exitCode})`;
  return new KilnError(Code.FailedPrecondition, `exec ${entry.shortId} in VM ${vm.name} ${text}`, {
    reason: "exec-ended",
    hint: `what it wrote: \`kiln logs --exec ${entry.shortId} ${vm.name}\``,
  });
}

function stillRuns(vm: VmEntry, entry: WorkloadEntry): KilnError {
  return new KilnError(Code.FailedPrecondition, `exec ${entry.shortId} in VM ${vm.name} runs`, {
    reason: "exec-running",
    hint: `kill it first: \`kiln kill --exec ${entry.shortId} ${vm.name}\`, or remove it with -f`,
  });
}
