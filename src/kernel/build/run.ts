// Runs one command of a build in its sandbox: output to the log, each line to whoever counts them, and all of its
// processes ended where the build is given up.

import { spawn } from "node:child_process";
import type { WriteStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { onAbort } from "../../base/abort.js";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import type { Abortable } from "../../base/progress.js";
import type { Sandbox } from "./sandbox.js";

export interface BuildCommand extends Abortable {
  readonly sandbox: Sandbox;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly log: WriteStream;
  readonly onLine?: ((line: string) => void) | undefined;
}

/** Lines that are kept for the error; more would not be read. */
const KEPT_LINES = 12;
const MAX_LINE = 400;
/** A log that fills the disk helps nobody. */
const MAX_LOG_BYTES = 32 * 1024 * 1024;

/**
 * @throws KilnError internal `kernel-build-failed` with the last lines that say why; cancelled
 */
export async function runBuildCommand(command: BuildCommand): Promise<void> {
  const { sandbox, argv, env, log, signal } = command;
  signal?.throwIfAborted();
  const [program = "", ...args] = [...sandbox.words, ...argv];
  log.write(`$ ${argv.join(" ")}\n`);
  const child = spawn(program, args, {
    cwd: "/",
    env: { ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a process group of its own: make's children end with it
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, by) => resolve({ code, signal: by }));
  });
  using _ = onAbort(signal, () => killGroup(child.pid));
  const words = new LastWords();
  for (const stream of [child.stdout, child.stderr]) {
    follow(stream, (line) => {
      if (log.bytesWritten < MAX_LOG_BYTES) log.write(`${line}\n`);
      words.take(line);
      command.onLine?.(line);
    });
  }
  try {
    const { code, signal: by } = await ended;
    signal?.throwIfAborted();
    if (code !== 0) throw failed(argv, by === null ? `exit code ${code}` : `signal ${by}`, words.text());
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw KilnError.from(error, `run ${argv[0]}`);
  }
}

/** True for a line with which Kbuild names an object that it compiles. */
export function isCompiledObject(line: string): boolean {
  return /^ {2}(CC|AS) +(\[M\] +)?\S+\.o$/.test(line);
}

/** What of a build's output says why it failed: complaints first, else the last lines. */
export class LastWords {
  readonly #complaints: string[] = [];
  readonly #last: string[] = [];

  take(line: string): void {
    const short = line.slice(0, MAX_LINE);
    if (/\berror\b|\*\*\*|No space left|Killed|fatal:/i.test(line)) keep(this.#complaints, short);
    if (line.trim() !== "") keep(this.#last, short);
  }

  text(): string {
    return (this.#complaints.length > 0 ? this.#complaints : this.#last).join("\n");
  }
}

function keep(lines: string[], line: string): void {
  lines.push(line);
  if (lines.length > KEPT_LINES) lines.shift();
}

function follow(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", onLine);
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

function failed(argv: readonly string[], how: string, words: string): KilnError {
  const what = argv.find((word) => !word.startsWith("/")) ?? "the build";
  return new KilnError(Code.Internal, `${what} failed (${how})${words === "" ? "" : `:\n${words}`}`, {
    reason: "kernel-build-failed",
  });
}
