// One plugin to its end. It may hang, write without end, or leave others behind that it has started: each call has a deadline,
// a group of processes of its own, and bounds.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { keepText } from "../../base/kept-text.js";
import { findProgram } from "../../base/programs.js";
import { delay } from "../../base/runtime.js";
import { requireTrusted } from "../../base/trusted-path.js";
import type { JsonObject } from "../../base/versioned.js";
import type { CniCommand } from "./plan-call.js";
import { type CniFailure, parseFailure } from "./result.js";

const MAX_OUTPUT = 1024 * 1024;
/** The spec's "try again later". */
const LATER = 11;
/** How one ends that is not left to. */
type Fault = "late" | "endless";
/** Of what failed without the spec's form, for people. */
const LONGEST_WORDS = 400;
const DRAIN_MS = 1_000;

export interface PluginCall {
  /** Of the network: for errors. */
  readonly network: string;
  readonly type: string;
  readonly command: CniCommand;
  readonly environment: Readonly<Record<string, string>>;
  readonly config: JsonObject;
}

/** Where a plugin lies. @throws KilnError failed_precondition `cni-plugin-missing`; permission_denied `unsafe-path` */
export async function findPlugin(directories: readonly string[], type: string): Promise<string> {
  for (const directory of directories) {
    const found = await findProgram(`${directory}/${type}`);
    if (found === undefined) continue;
    await requireTrusted(found);
    return found;
  }
  throw new KilnError(
    Code.FailedPrecondition,
    `there is no CNI plugin ${type} in ${directories.join(", ")}`,
    {
      reason: "cni-plugin-missing",
      hint: "Debian's containernetworking-plugins brings the usual ones",
      details: { plugin: type },
    },
  );
}

/**
 * @param argv of the plugin, with what goes before it
 * @param timeoutMs after which it and all of its group are killed
 * @returns what it wrote
 * @throws KilnError `cni-failed` (unavailable where it says to try again, else failed_precondition) with the plugin's words;
 *   deadline_exceeded `cni-timeout`
 */
export async function runPlugin(
  argv: readonly string[],
  call: PluginCall,
  timeoutMs: number,
): Promise<string> {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, {
    cwd: "/",
    detached: true,
    env: { ...call.environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const closed = once(child, "close").catch(() => undefined);
  const ended = endOf(child);
  const words = keepText(child.stderr);
  let fault: Fault | undefined;
  const stop = (why: Fault) => {
    fault ??= why;
    killGroup(child);
  };
  const output = keepOutput(child.stdout, () => stop("endless"));
  // It may end without having read all: what it says tells why.
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify(call.config));
  const timer = setTimeout(() => stop("late"), timeoutMs);
  try {
    const end = await ended;
    if (end !== "0") killGroup(child);
    // A daemon that it has started may hold its pipes for as long as it likes.
    await Promise.race([closed, delay(DRAIN_MS)]);
    if (fault === "late") throw late(call, timeoutMs);
    if (fault === "endless") throw failed(call, undefined, `it wrote more than ${MAX_OUTPUT} bytes`);
    if (end === "0") return output();
    const said = words().trim() || output().trim();
    throw failed(call, parseFailure(output()), `${end} ${said.slice(0, LONGEST_WORDS)}`.trim());
  } finally {
    clearTimeout(timer);
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
  }
}

/** "0", "exit code 1", "SIGKILL", or why it did not start. */
async function endOf(child: ChildProcess): Promise<string> {
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    return signal ?? (code === 0 ? "0" : `exit code ${code}`);
  } catch (error) {
    return (error as Error).message;
  }
}

/** @param over called where it has written more than it may. @returns what it has written so far */
function keepOutput(stream: Readable, over: () => void): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length <= MAX_OUTPUT) chunks.push(chunk);
    else over();
  });
  stream.on("error", () => undefined);
  return () => Buffer.concat(chunks).toString("utf8");
}

/** Also those that it has called, as plugins call those that give addresses. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

function late({ network, type, command }: PluginCall, timeoutMs: number): KilnError {
  const what = `CNI network ${network}: plugin ${type} did not end its ${command} within ${timeoutMs / 1000} s`;
  return new KilnError(Code.DeadlineExceeded, what, {
    reason: "cni-timeout",
    hint: "it was killed; see what it waits for, and try again",
    details: { plugin: type, command },
  });
}

function failed(
  { network, type, command }: PluginCall,
  told: CniFailure | undefined,
  end: string,
): KilnError {
  const words = told === undefined ? end : [told.msg, told.details].filter((text) => text !== "").join(": ");
  const code = told === undefined ? {} : { code: String(told.code) };
  return new KilnError(
    told?.code === LATER ? Code.Unavailable : Code.FailedPrecondition,
    `CNI network ${network}: plugin ${type} failed to ${command}: ${words}${told === undefined ? "" : ` (code ${told.code})`}`,
    { reason: "cni-failed", details: { plugin: type, command, ...code } },
  );
}
