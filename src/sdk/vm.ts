// A VM as a handle: its verbs, grouped where they are many (`fs`, `ports`). State is asked for, never guessed.

import { defined } from "../base/defined.js";
import { Code, hasReason, KilnError } from "../base/errors.js";
import type { VmJson } from "../gen/kiln/v1/types_pb.js";
import { ATTACH_OPTIONS, Attachment, type AttachOptions, attachWords } from "./attach.js";
import { statusFromJson, vmFromJson } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import {
  argumentsOf,
  EXEC_OPTIONS,
  Exec,
  type ExecOptions,
  execWords,
  notStarted,
  PROGRAM_OPTIONS,
  planExec,
} from "./exec.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { lastingAnswer } from "./lasting-answers.js";
import { LOGS_OPTIONS, type LogChunk, type LogOptions, readLogs } from "./logs.js";
import { type Calls, callsAbout } from "./scoped-calls.js";
import { readStats, type StatsOptions, type StatsSample } from "./stats.js";
import type { VmInfo, VmStatus } from "./types.js";
import { VmFiles } from "./vm-files.js";
import { wholeMs } from "./vm-options.js";
import { VmPorts } from "./vm-ports.js";
import { VmProcesses } from "./vm-processes.js";

/** Options of `vm.stop()`. */
export interface StopOptions extends CallOptions {
  /** Time for the program to end by itself, milliseconds; default: the VM's own. Then it is killed. */
  readonly graceMs?: number | undefined;
  /** "SIGTERM", "TERM" or "15"; default: the VM's own. */
  readonly stopSignal?: string | undefined;
}

const STOP_OPTIONS: NamesOf<StopOptions> = { ...CALL, graceMs: true, stopSignal: true };

/** What `vm.update()` changes. */
export interface VmChanges {
  /** Of a VM that runs from now on, and from every later start; 0: it has none any more. Milliseconds. */
  readonly lifetimeMs: number;
}

const CHANGES_FIELDS: NamesOf<VmChanges> = { lifetimeMs: true };

/** Options of `vm.remove()`. */
export interface RemoveOptions extends CallOptions {
  /** Kills a VM that runs. */
  readonly force?: boolean | undefined;
  /** Removes the volumes, too, that were made for it and have no name. */
  readonly volumes?: boolean | undefined;
}

const REMOVE_OPTIONS: NamesOf<RemoveOptions> = { ...CALL, force: true, volumes: true };

/** Options of `vm.spawn()`. */
export type SpawnOptions = Omit<ExecOptions, "stdin" | "check">;

const SPAWN_OPTIONS: NamesOf<SpawnOptions> = { ...PROGRAM_OPTIONS, maxOutputBytes: true };

/** Options of `vm.wait()`. */
export interface WaitOptions extends CallOptions {
  /** Default "exited". */
  readonly condition?: "exited" | "running" | "removed" | undefined;
}

const WAIT_OPTIONS: NamesOf<WaitOptions> = { ...CALL, condition: true };

/**
 * A handle on one VM. Handles from `kiln.run()` own their VM: disposing them removes it. All others only let go.
 *
 * ```ts
 * await using vm = await kiln.run("alpine:3.20", { memory: "512MiB" });
 * const { stdout } = await vm.exec(["uname", "-r"]);
 * ```
 */
export class Vm implements AsyncDisposable {
  /** The full id, 64 hex characters; of a handle from `kiln.vms.ref()` what was given. */
  readonly id: string;
  /** Files in and out. */
  readonly fs: VmFiles;
  /** Published ports. */
  readonly ports: VmPorts;
  /** Programs beside the main one that need nobody to attend to them. */
  readonly processes: VmProcesses;
  readonly #transport: Calls;
  readonly #owned: boolean;
  #info: VmInfo;

  /** For `kiln.run()` and friends; get handles from a `Kiln`. */
  constructor(transport: Calls, info: VmInfo, owned: boolean) {
    this.id = info.id;
    this.#transport = callsAbout(transport, () => `VM ${this.name || this.id.slice(0, 12)}`);
    this.fs = new VmFiles(this.#transport, info.id);
    this.processes = new VmProcesses(this.#transport, info.id);
    this.ports = new VmPorts(this.#transport, info.id, (ports) => {
      this.#info = { ...this.#info, status: { ...this.#info.status, ports } };
    });
    this.#owned = owned;
    this.#info = info;
  }

  get name(): string {
    return this.#info.name;
  }

  /** What kilnd said last; `inspect()` asks again. */
  get info(): VmInfo {
    return this.#info;
  }

  /** Asks kilnd what the VM is now. */
  async inspect(options: CallOptions = {}): Promise<VmInfo> {
    checkOptions("vm.inspect()", options, CALL);
    const { vm } = await this.#transport.unary("VmService/GetVm", { vm: this.id }, options);
    return this.#update(vm);
  }

  /** Starts it; returns once its program runs. Does nothing to a VM that runs. */
  async start(options: CallOptions = {}): Promise<VmInfo> {
    checkOptions("vm.start()", options, CALL);
    const { vm } = await this.#transport.unary("VmService/StartVm", { vm: this.id }, options);
    return this.#update(vm);
  }

  /** Ends its program with the stop signal, after `graceMs` with SIGKILL. */
  async stop(options: StopOptions = {}): Promise<VmInfo> {
    checkOptions("vm.stop()", options, STOP_OPTIONS);
    const { graceMs, stopSignal } = options;
    const request = defined({ vm: this.id, timeoutMs: graceMs, signal: stopSignal });
    const { vm } = await this.#transport.unary("VmService/StopVm", request, options);
    return this.#update(vm);
  }

  async restart(options: StopOptions = {}): Promise<VmInfo> {
    checkOptions("vm.restart()", options, STOP_OPTIONS);
    const request = defined({ vm: this.id, timeoutMs: options.graceMs });
    const { vm } = await this.#transport.unary("VmService/RestartVm", request, options);
    return this.#update(vm);
  }

  /** SIGKILL ends the VM at once; any other signal goes to its program. */
  async kill(signal = "SIGKILL", options: CallOptions = {}): Promise<void> {
    checkOptions("vm.kill()", options, CALL);
    await this.#transport.unary("VmService/KillVm", { vm: this.id, signal }, options);
  }

  /** Stops its CPUs; memory stays. */
  async pause(options: CallOptions = {}): Promise<VmInfo> {
    checkOptions("vm.pause()", options, CALL);
    const { vm } = await this.#transport.unary("VmService/PauseVm", { vm: this.id }, options);
    return this.#update(vm);
  }

  async unpause(options: CallOptions = {}): Promise<VmInfo> {
    checkOptions("vm.unpause()", options, CALL);
    const { vm } = await this.#transport.unary("VmService/UnpauseVm", { vm: this.id }, options);
    return this.#update(vm);
  }

  /**
   * Changes a VM that exists, also while it runs.
   *
   * ```ts
   * await vm.update({ lifetimeMs: 600_000 });   // ten minutes more from now
   * ```
   */
  async update(changes: VmChanges, options: CallOptions = {}): Promise<VmInfo> {
    checkOptions("vm.update()", changes, CHANGES_FIELDS);
    checkOptions("vm.update()", options, CALL);
    const request = { vm: this.id, lifetimeMs: wholeMs(changes.lifetimeMs) };
    const { vm } = await this.#transport.unary("VmService/UpdateVm", request, options);
    return this.#update(vm);
  }

  /** Removes it and its disk. */
  async remove(options: RemoveOptions = {}): Promise<void> {
    checkOptions("vm.remove()", options, REMOVE_OPTIONS);
    const { force = false, volumes = false } = options;
    await this.#transport.unary("VmService/RemoveVm", { vm: this.id, force, volumes }, options);
  }

  /** Waits until it has ended (or runs, or is gone), over as many kilnds as it takes. */
  async wait(options: WaitOptions = {}): Promise<{ exitCode: number; status: VmStatus }> {
    checkOptions("vm.wait()", options, WAIT_OPTIONS);
    const request = { vm: this.id, condition: options.condition ?? "exited" };
    const ask = (bound: CallOptions) => this.#transport.unary("VmService/WaitVm", request, bound);
    const json = await lastingAnswer(`WaitVm of VM ${this.name}`, ask, options);
    return { exitCode: json.exitCode ?? 0, status: statusFromJson(json.status) };
  }

  /**
   * Starts a process in the VM: await it for its result, iterate it for its output.
   *
   * ```ts
   * const { exitCode, stdout } = await vm.exec(["ls", "-l", dir], { timeoutMs: 5_000 });
   * await vm.exec("apt-get update && apt-get install -y git");   // a line for the VM's /bin/sh
   * ```
   *
   * Put nothing into a shell line that somebody else chose: arguments of a list need no quoting.
   */
  exec(args: readonly string[] | string, options: ExecOptions = {}): Exec {
    checkOptions("vm.exec()", options, EXEC_OPTIONS);
    const argv = argumentsOf(args);
    const words = execWords(this.id, argv, options);
    return new Exec(this.#transport.lasting("VmService/Exec", words, options), argv, options);
  }

  /**
   * Starts a process and leaves it running; gives its process id in the guest. `processes.start()` gives a handle on its
   * output and its end.
   */
  async spawn(command: readonly string[] | string, options: SpawnOptions = {}): Promise<number> {
    checkOptions("vm.spawn()", options, SPAWN_OPTIONS);
    const args = argumentsOf(command);
    const start = { vm: this.id, config: { ...planExec(args, options), detach: true } };
    for await (const message of this.#transport.serverStream("VmService/Exec", { start }, options)) {
      if (message.started !== undefined) return message.started.pid ?? 0;
      if (message.exit !== undefined)
        throw notStarted(args, message.exit.code ?? 0, message.exit.error ?? "");
    }
    throw notStarted(args, 0, "kilnd ended the call");
  }

  /** The main program's output, stdin and end. */
  attach(options: AttachOptions = {}): Attachment {
    checkOptions("vm.attach()", options, ATTACH_OPTIONS);
    const words = attachWords(this.id, options);
    return new Attachment(this.#transport.lasting("VmService/Attach", words, options));
  }

  /**
   * What the main program wrote, also after its end.
   *
   * ```ts
   * for await (const { fd, data } of vm.logs({ follow: true, tail: 10 })) process.stdout.write(data);
   * ```
   */
  async *logs(options: LogOptions = {}): AsyncGenerator<LogChunk, void> {
    checkOptions("vm.logs()", options, LOGS_OPTIONS);
    yield* readLogs(this.#transport, { vm: this.id }, options);
  }

  /** A sample a second until you stop reading; one with `{ once: true }`. */
  stats(options: StatsOptions = {}): AsyncGenerator<StatsSample, void> {
    return readStats(this.#transport, [this.id], options);
  }

  /**
   * Address of a published port of the VM, as last known: "http://127.0.0.1:8080".
   *
   * @throws KilnError not_found `port-not-published`
   */
  url(vmPort: number, scheme = "http"): string {
    const port = this.#info.status.ports.find((each) => each.vmPort === vmPort && each.protocol === "tcp");
    if (port === undefined) {
      throw new KilnError(Code.NotFound, `port ${vmPort} of VM ${this.name} is not published`, {
        reason: "port-not-published",
        hint: `publish it: { publish: ["${vmPort}"] } at create, or vm.ports.add("${vmPort}")`,
      });
    }
    return `${scheme}://${reachable(port.hostIp)}:${port.hostPort}`;
  }

  /** Lets go of the VM; one made by `kiln.run()` is removed. */
  async close(): Promise<void> {
    if (!this.#owned) return;
    try {
      await this.remove({ force: true });
    } catch (error) {
      if (!hasReason(error, "vm-not-found")) throw error; // --rm, or somebody was faster
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #update(json: VmJson | undefined): VmInfo {
    this.#info = vmFromJson(json);
    return this.#info;
  }
}

function reachable(hostIp: string): string {
  if (hostIp === "" || hostIp === "0.0.0.0") return "127.0.0.1";
  if (hostIp === "::") return "[::1]";
  return hostIp.includes(":") ? `[${hostIp}]` : hostIp;
}
