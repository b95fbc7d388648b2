// Runs a helper program (xz, dpkg-deb, depmod, apt-get) to its end, with bounded output. No shell, ever.

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { Code, errnoOf, KilnError } from "../base/errors.js";

export interface ProgramOptions {
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly input?: Uint8Array | undefined;
  /** Bytes of stdout; more ends the program. Default 1 MiB. */
  readonly maxOutput?: number;
  /** Takes lines of file descriptor 3 (apt's status). */
  readonly onStatusLine?: (line: string) => void;
  /** How to get the program, for the error where it is missing. */
  readonly install?: string;
}

export interface ProgramResult {
  readonly stdout: Buffer;
  readonly stderr: string;
}

const STDERR_LIMIT = 8 * 1024;
/** Ordinary users often lack the sbin directories, where depmod lives. */
const EXTRA_PATH = "/usr/local/sbin:/usr/sbin:/sbin";

/**
 * @throws KilnError failed_precondition `program-missing`; `program-failed` with its last words; `program-output` where
 *   it printed more than allowed; cancelled
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  options.signal?.throwIfAborted();
  const limit = options.maxOutput ?? 1024 * 1024;
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env, PATH: `${process.env.PATH ?? ""}:${EXTRA_PATH}`, LC_ALL: "C" },
    signal: options.signal,
    stdio: ["pipe", "pipe", "pipe", options.onStatusLine === undefined ? "ignore" : "pipe"],
  }) as ChildProcessWithoutNullStreams; // the type that three pipes have; a fourth entry hides it from the compiler
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });

  const chunks: Buffer[] = [];
  let size = 0;
  let overflow = false;
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else if (!overflow) {
      overflow = true;
      child.kill("SIGKILL");
    }
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString("utf8")).slice(-STDERR_LIMIT);
  });
  followLines(child.stdio[3], options.onStatusLine);
  feed(child.stdin, options.input);

  const outcome = await ended.catch((error: unknown) => {
    throw startFailure(command, error, options.install);
  });
  if (overflow) {
    throw new KilnError(Code.ResourceExhausted, `${command} printed more than ${limit} bytes`, {
      reason: "program-output",
    });
  }
  if (outcome.code !== 0) {
    const how = outcome.signal === null ? `exit code ${outcome.code}` : `signal ${outcome.signal}`;
    const words = stderr.trim().split("\n").slice(-4).join("; ");
    throw new KilnError(Code.Internal, `${command} failed (${how})${words === "" ? "" : `: ${words}`}`, {
      reason: "program-failed",
      details: { program: command },
    });
  }
  return { stdout: Buffer.concat(chunks), stderr };
}

function feed(stdin: NodeJS.WritableStream, input: Uint8Array | undefined): void {
  // EPIPE only says that the program stopped reading; its exit code tells why.
  finished(stdin).catch(() => undefined);
  if (input === undefined) stdin.end();
  else stdin.end(Buffer.from(input.buffer, input.byteOffset, input.byteLength));
}

function followLines(stream: unknown, onLine: ((line: string) => void) | undefined): void {
  if (onLine === undefined || !(stream instanceof Readable)) return;
  let rest = "";
  stream.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString("utf8")).split("\n");
    rest = (lines.pop() ?? "").slice(-4096);
    for (const line of lines) onLine(line);
  });
}

function startFailure(command: string, error: unknown, install: string | undefined): KilnError {
  if (errnoOf(error) !== "ENOENT") return KilnError.from(error, `run ${command}`);
  return new KilnError(Code.FailedPrecondition, `the program ${command} is not installed`, {
    reason: "program-missing",
    hint: install ?? `install ${command}`,
    cause: error,
  });
}
