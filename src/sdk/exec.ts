// One process started in a VM: awaitable for its result, iterable for its output as it comes.

import { randomBytes } from "node:crypto";
import { Code, hasReason, KilnError } from "../base/errors.js";
import type { ExecConfigJson, ExecRequestJson, ExecResponseJson } from "../gen/kiln/v1/process_pb.js";
import { type CapturedOutput, DEFAULT_MAX_OUTPUT_BYTES, OutputCollector } from "./captured-output.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import type { LastingWords } from "./lasting-stream.js";
import { type ProcessEvent, ProcessStream, type ProcessWire } from "./process-stream.js";
import { pairs, TERMINAL_SIZE_FIELDS, type TerminalSize, withoutUndefined } from "./vm-options.js";

/** Options of `vm.exec()`. */
export interface ExecOptions extends CallOptions {
  /** Added to the VM's own. In a list, a name alone takes the VM's variable away. */
  readonly env?: Readonly<Record<string, string>> | readonly string[] | undefined;
  /** User, uid, user:group or uid:gid. Default: the VM's. */
  readonly user?: string | undefined;
  /** Default: the VM's. */
  readonly workdir?: string | undefined;
  /** Runs it on a terminal: stdout and stderr are one, signals come from keys. */
  readonly tty?: boolean | undefined;
  readonly ttySize?: TerminalSize | undefined;
  /** What the program reads; "pipe": what is written to `.stdin`. Default: nothing. */
  readonly stdin?:
    | "pipe"
    | Uint8Array
    | Iterable<Uint8Array>
    | AsyncIterable<Uint8Array>
    | { readonly text: string }
    | undefined;
  /** Throws where the exit code is not 0. */
  readonly check?: boolean | undefined;
  /** Cap of collected output, stdout and stderr each. Default 16 MiB. */
  readonly maxOutputBytes?: number | undefined;
}

/** What every way of starting a program takes. */
export type ProgramOptions = Pick<
  ExecOptions,
  keyof CallOptions | "env" | "user" | "workdir" | "tty" | "ttySize"
>;

export const PROGRAM_OPTIONS: NamesOf<ProgramOptions> = {
  ...CALL,
  env: true,
  user: true,
  workdir: true,
  tty: true,
  ttySize: true,
};

export const EXEC_OPTIONS: NamesOf<ExecOptions> = {
  ...PROGRAM_OPTIONS,
  maxOutputBytes: true,
  stdin: true,
  check: true,
};

/** The end of a program. A non-zero exit code is data, unless `check` was asked for. */
export interface ExecResult {
  /** The program's own; 128 + signal; 126: not executable, 127: not found. */
  readonly exitCode: number;
  readonly stdout: CapturedOutput;
  readonly stderr: CapturedOutput;
  /** True where either stream was cut at the cap. */
  readonly truncated: boolean;
  /** Why the program could not be started (exit codes 126 and 127); else "". */
  readonly error: string;
}

interface ExecExit {
  readonly code: number;
  readonly error: string;
}

/**
 * A process in a VM.
 *
 * ```ts
 * const { stdout, exitCode } = await vm.exec(["uname", "-r"]);                       // collected
 * for await (const { fd, data } of vm.exec(["make"])) process.stdout.write(data);    // live
 * ```
 *
 * Cancelling the call (signal, timeoutMs, `close()`, leaving the loop) kills the process group.
 */
export class Exec
  extends ProcessStream<ExecResponseJson, number, ExecExit>
  implements PromiseLike<ExecResult>
{
  readonly #args: readonly string[];
  readonly #options: ExecOptions;
  #result: Promise<ExecResult> | undefined;
  #stdin: WritableStream<Uint8Array | string> | undefined;
  #inputError: KilnError | undefined;

  constructor(wire: ProcessWire<ExecResponseJson>, args: readonly string[], options: ExecOptions) {
    super(wire, decodeExec);
    this.#args = args;
    this.#options = options;
    const { stdin } = options;
    if (stdin !== undefined && stdin !== "pipe") void this.#feed(sourceOf(stdin));
  }

  /** True until it has started: to end the call ends all of it. */
  get unstarted(): boolean {
    return !this.heard;
  }

  /** Process id in the guest, once it runs. */
  pid(): Promise<number> {
    return this.started();
  }

  /** The exit code; output that nobody reads is dropped. */
  async wait(): Promise<number> {
    return (await this.ended()).code;
  }

  /** The program's stdin, where `stdin: "pipe"` was asked for. Closing it is the end of file. */
  get stdin(): WritableStream<Uint8Array | string> {
    if (this.#options.stdin !== "pipe") {
      throw new KilnError(Code.FailedPrecondition, `write to ${this.#args[0]}: it has no stdin`, {
        reason: "no-stdin",
        hint: 'start it with { stdin: "pipe" }',
      });
    }
    this.#stdin ??= new WritableStream({
      write: (data) => this.writeStdin(typeof data === "string" ? Buffer.from(data) : data),
      close: () => this.closeStdin(),
      abort: () => this.close(),
    });
    return this.#stdin;
  }

  /** Collects the output and waits for the end. What `await` does. */
  result(): Promise<ExecResult> {
    this.#result ??= this.#collect().catch((error: unknown) => {
      throw this.#inputError ?? error;
    });
    return this.#result;
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is what this class is for.
  then<A = ExecResult, B = never>(
    onFulfilled?: ((value: ExecResult) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result().then(onFulfilled, onRejected);
  }

  async #collect(): Promise<ExecResult> {
    const maxBytes = this.#options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
    const [stdout, stderr] = [new OutputCollector(maxBytes), new OutputCollector(maxBytes)];
    // Where somebody iterates already, the output is theirs and the result has only the exit code.
    if (!this.consumed) for await (const { fd, data } of this) (fd === 1 ? stdout : stderr).push(data);
    const { code, error } = await this.ended();
    const result = { exitCode: code, stdout: stdout.finish(), stderr: stderr.finish(), error };
    if (this.#options.check === true && code !== 0) throw failedCheck(this.#args, result);
    return { ...result, truncated: result.stdout.truncated || result.stderr.truncated };
  }

  async #feed(source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const data of source) await this.writeStdin(data);
      await this.closeStdin();
    } catch (error) {
      // A KilnError is the call's own end, which the messages tell. Anything else broke the source: the program would
      // take a cut input for a whole one.
      if (error instanceof KilnError) return;
      this.#inputError = KilnError.from(error, `read the stdin of ${this.#args[0]}`);
      await this.close();
    }
  }
}

/** A string is a line for the shell. */
export function argumentsOf(command: readonly string[] | string): readonly string[] {
  return typeof command === "string" ? ["/bin/sh", "-c", command] : command;
}

/** The error of a program that could not be started where nobody waits for its exit code. */
export function notStarted(args: readonly string[], code: number, why: string): KilnError {
  const what = `start ${args[0] ?? "nothing"}: `;
  // The agent begins with it, too, where it came as far as that.
  return new KilnError(Code.FailedPrecondition, why.startsWith(what) ? why : what + why, {
    reason: "program-not-started",
    details: { exitCode: String(code) },
  });
}

/** The message that asks for this process. */
export function planExec(args: readonly string[], options: ExecOptions): ExecConfigJson {
  const { ttySize } = options;
  if (ttySize !== undefined) checkOptions("ttySize", ttySize, TERMINAL_SIZE_FIELDS);
  return withoutUndefined({
    args: args.slice(),
    env: options.env === undefined ? undefined : pairs(options.env, "="),
    user: options.user,
    workdir: options.workdir,
    tty: options.tty,
    stdin: options.stdin === undefined ? undefined : true,
    columns: ttySize?.columns,
    rows: ttySize?.rows,
  });
}

/** The call of an exec, as it starts and as it goes on. */
export function execWords(
  vm: string,
  args: readonly string[],
  options: ExecOptions,
): LastingWords<ExecRequestJson, ExecResponseJson> {
  const id = randomBytes(16).toString("hex");
  return {
    start: { start: { vm, id, config: planExec(args, options) } },
    resume: (place) => ({ resume: { vm, id, nextSequence: place?.sequence ?? "0" } }),
    isUnknown: (error) => hasReason(error, "exec-not-found"),
    ack: (place) => ({ ack: place.sequence ?? "0" }),
    news: ({ started, output, stdinTaken, stalled, exit }) => ({
      ...(started === undefined
        ? {}
        : { resumable: started.resumable ?? false, stdinNext: started.stdinNext ?? "0" }),
      place: output?.next,
      bytes: output?.data?.length ?? 0,
      stdinTaken,
      stalled,
      ended: exit !== undefined,
    }),
  };
}

function decodeExec(message: ExecResponseJson): ProcessEvent<number, ExecExit> {
  if (message.stalled !== undefined) return { kind: "stalled", message: message.stalled.message ?? "" };
  if (message.output !== undefined) return { kind: "output", output: message.output };
  if (message.started !== undefined) return { kind: "started", started: message.started.pid ?? 0 };
  if (message.exit === undefined) return { kind: "unknown" };
  return { kind: "exit", exit: { code: message.exit.code ?? 0, error: message.exit.error ?? "" } };
}

function sourceOf(
  stdin: Exclude<ExecOptions["stdin"], "pipe" | undefined>,
): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (stdin instanceof Uint8Array) return [stdin];
  return "text" in stdin ? [Buffer.from(stdin.text)] : stdin;
}

function failedCheck(
  args: readonly string[],
  result: { exitCode: number; stderr: CapturedOutput; error: string },
): KilnError {
  const why = result.error || result.stderr.text.trim().split("\n").slice(-5).join("\n");
  return new KilnError(
    Code.FailedPrecondition,
    `${args.join(" ")} ended with code ${result.exitCode}${why === "" ? "" : `: ${why}`}`,
    { reason: "program-failed", details: { exitCode: String(result.exitCode) } },
  );
}
