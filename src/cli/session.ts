// A program in a VM wired to this process: output out, input in, size, signals, detach keys. For run, exec and attach.

import { constants } from "node:os";
import type { OutputChunk, TerminalSize } from "../sdk/index.js";
import type { Context, Sink } from "./context.js";
import { DetachFilter } from "./detach-keys.js";
import { interruption } from "./interrupt.js";
import { enterRawMode, terminalSize } from "./terminal.js";

/** What exec and attach have in common. */
export interface Program extends AsyncIterable<OutputChunk> {
  writeStdin(data: Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  resize(size: TerminalSize): Promise<void>;
  kill(signal: string): Promise<void>;
  close(): Promise<void>;
  /** True while nothing reaches it: what is meant for it ends this process instead. */
  readonly unreachable: boolean;
  /** True until it has started, where leaving it leaves nothing behind: what asks it to end ends this process. */
  readonly unstarted?: boolean;
  onStalled: ((message: string) => void) | undefined;
  /** Told each time that kilnd goes away. */
  onAway?: (() => void) | undefined;
}

/** What of this process the program gets. */
export interface SessionOptions {
  /** The program runs on a terminal. */
  readonly tty: boolean;
  /** Gives it our stdin. */
  readonly stdin: boolean;
  /** The end of our stdin closes the program's: for whoever started it, not for one who attached later. */
  readonly closeStdin: boolean;
  /** Bytes that leave it running; only on a terminal. */
  readonly detachKeys: readonly number[];
  /** Passes our signals on; without a terminal only, where keys make none. */
  readonly signals: boolean;
}

/** How the session ended: the program did, or the user left it. */
export type SessionEnd = "ended" | "detached";

const PROXIED: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"];
/** What asks a program to end. */
const ENDING: readonly NodeJS.Signals[] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"];
/** By then kilnd has heard of the guest again, or has ended the call. */
const IN_DOUBT_MS = 5_000;
/** As Docker: who presses Ctrl-C so often wants out, whatever the program thinks. */
const IMPATIENCE = 3;
/** Ctrl-C, as a raw terminal gives it. */
const INTERRUPT_KEY = 3;

/** Runs until the program's output ends or the user detaches. Undoes all that it did to this process. */
export async function runSession(
  context: Context,
  program: Program,
  options: SessionOptions,
): Promise<SessionEnd> {
  const undo: (() => void)[] = [];
  let left: "detached" | "interrupted" | undefined;
  const leave = (how: "detached" | "interrupted") => {
    left = how;
    void program.close();
  };
  program.onStalled = (message) => void context.note(`kiln: ${message}`);
  try {
    const onTerminal = options.tty && options.stdin && context.stdin.isTTY === true;
    if (onTerminal) undo.push(await enterRawMode(context.stdin));
    if (options.tty) undo.push(followSize(context, program));
    if (options.stdin) undo.push(forwardStdin(context, program, options, onTerminal, leave));
    if (options.signals && !onTerminal) undo.push(forwardSignals(program));
    await pumpOutput(program, context.stdout, context.stderr);
    if (left === "interrupted") throw interruption("interrupted");
    return left ?? "ended";
  } catch (error) {
    if (left === "interrupted") throw interruption("interrupted");
    if (left === "detached") return "detached";
    throw error;
  } finally {
    for (const step of undo.reverse()) step();
  }
}

/** Nothing is read while a write waits, so a slow reader of ours stops the program in the guest. */
async function pumpOutput(program: Program, stdout: Sink, stderr: Sink): Promise<void> {
  for await (const { fd, data } of program) await (fd === 1 ? stdout : stderr).write(data);
}

function followSize(context: Context, program: Program): () => void {
  const send = () => {
    const size = terminalSize(context.stdout);
    if (size !== undefined) ignoreEnd(program.resize(size));
  };
  send();
  process.on("SIGWINCH", send);
  return () => void process.off("SIGWINCH", send);
}

function forwardStdin(
  context: Context,
  program: Program,
  options: SessionOptions,
  onTerminal: boolean,
  leave: (how: "detached" | "interrupted") => void,
): () => void {
  const { stdin } = context;
  const filter = new DetachFilter(onTerminal ? options.detachKeys : []);
  const onData = (chunk: Buffer) => {
    // Nobody there makes a signal of the key.
    const nobody = program.unreachable || program.unstarted === true;
    if (onTerminal && nobody && chunk.includes(INTERRUPT_KEY)) return leave("interrupted");
    const typed = filter.push(chunk);
    // Paused until kilnd has room: a guest that does not read must not fill this process.
    stdin.pause();
    program.writeStdin(typed.data).then(
      () => stdin.resume(),
      () => undefined, // the program has ended: its exit says so
    );
    if (typed.detach) leave("detached");
  };
  const onEnd = () => {
    if (options.closeStdin) ignoreEnd(program.closeStdin());
  };
  stdin.on("data", onData);
  stdin.once("end", onEnd);
  stdin.once("error", onEnd);
  return () => {
    stdin.off("data", onData);
    stdin.off("end", onEnd);
    stdin.off("error", onEnd);
    stdin.pause();
  };
}

function forwardSignals(program: Program): () => void {
  let interrupts = 0;
  let asked: { readonly code: number; readonly at: number } | undefined;
  // A signal that asked for the end a moment ago is lost with its connection, for all that is known.
  program.onAway = () => {
    if (asked !== undefined && performance.now() - asked.at < IN_DOUBT_MS) process.exit(asked.code);
  };
  const handlers = PROXIED.map((signal): [NodeJS.Signals, () => void] => [
    signal,
    () => {
      if (signal === "SIGINT" || signal === "SIGTERM") interrupts++;
      if (interrupts >= IMPATIENCE) process.exit(130);
      const code = 128 + constants.signals[signal];
      const ends = ENDING.includes(signal);
      if (program.unreachable || (ends && program.unstarted === true)) process.exit(code);
      if (ends) asked = { code, at: performance.now() };
      ignoreEnd(program.kill(signal));
    },
  ]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    program.onAway = undefined;
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}

/** A message to a program that has just ended fails; the end itself is told elsewhere. */
function ignoreEnd(sending: Promise<void>): void {
  sending.catch(() => undefined);
}
