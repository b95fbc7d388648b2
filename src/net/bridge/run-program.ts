// One program to its end, with a text to read and its words kept: ip, nft.

import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { Code, KilnError } from "../../base/errors.js";
import { keepText } from "../../base/kept-text.js";

/** The kernel's lock on links may be held for long where many are made and removed. */
const TIMEOUT_MS = 30_000;
/** Of rules and routes of the whole host. */
const MAX_OUTPUT = 16 * 1024 * 1024;

/**
 * What it wrote on stdout.
 *
 * @param what "make the links of network blue": for the error
 * @throws KilnError unavailable `network-failed`
 */
export async function runProgram(what: string, argv: readonly string[], stdin = ""): Promise<string> {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, {
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const words = keepText(child.stderr);
  const output = collect(child.stdout);
  // It may end without having read all: its words say why.
  child.stdin.on("error", () => undefined);
  child.stdin.end(stdin);
  try {
    const [[code, signal], text] = await Promise.all([once(child, "close"), output]);
    if (code === 0) return text;
    throw new Error(`${signal ?? `exit code ${code}`} ${firstLines(words())}`.trim());
  } catch (error) {
    child.kill("SIGKILL");
    throw networkFailed(`${what}: ${program}: ${(error as Error).message}`, error);
  }
}

async function collect(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += (chunk as Buffer).length;
    if (length > MAX_OUTPUT) throw new Error("it writes without end");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function firstLines(text: string): string {
  return text.trim().split("\n").slice(0, 3).join(" ").slice(0, 400);
}

export function networkFailed(why: string, cause?: unknown): KilnError {
  return new KilnError(Code.Unavailable, why, {
    reason: "network-failed",
    hint: "`kiln doctor` looks at what networks need of this host",
    cause,
  });
}
