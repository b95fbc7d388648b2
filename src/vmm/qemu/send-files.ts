// A QMP command with an open file beside it. Node can't send one over a socket, so a small program of ours does, over the very
// connection that kilnd has: the answer comes to kilnd as any other.

import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { Code, KilnError } from "../../base/errors.js";
import { planEnvironment } from "../../base/privileges.js";
import { descriptorOf } from "../node-descriptor.js";

const PATIENCE_MS = 15_000;
const MAX_WORDS = 500;

/** Where `kiln-sendfd` has the first file. */
const FIRST_FILE = 4;

/**
 * @param program path of `kiln-sendfd`
 * @param line the whole command, short enough to be written at once: others may write to the socket meanwhile
 * @throws KilnError internal `files-not-sent`
 */
export async function sendFiles(
  program: string,
  socket: Socket,
  line: string,
  files: readonly number[],
): Promise<void> {
  try {
    await send([program, String(files.length)], socket, line, files);
  } catch (error) {
    throw new KilnError(Code.Internal, `hand a file to QEMU: ${(error as Error).message}`, {
      reason: "files-not-sent",
      hint: `is ${program} there, as kiln was built?`,
      cause: error,
    });
  }
}

/**
 * The same with a tap that is made on the way.
 *
 * @param around words that make it and become the command
 * @throws KilnError unavailable `network-failed` with what they say
 */
export async function sendTap(
  program: string,
  socket: Socket,
  line: string,
  around: (argv: readonly string[], fd: number) => readonly string[],
): Promise<void> {
  try {
    await send(around([program, "1"], FIRST_FILE), socket, line, []);
  } catch (error) {
    throw new KilnError(Code.Unavailable, `make a tap for QEMU: ${(error as Error).message}`, {
      reason: "network-failed",
      cause: error,
    });
  }
}

async function send(
  [program = "", ...words]: readonly string[],
  socket: Socket,
  line: string,
  files: readonly number[],
): Promise<void> {
  const child = spawn(program, words, {
    cwd: "/",
    env: planEnvironment({}),
    stdio: ["pipe", "ignore", "pipe", descriptorOf(socket), ...files],
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(0, MAX_WORDS);
  });
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(line);
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  if (code !== 0) throw new Error(said.trim() || `it ended by ${signal ?? `exit code ${code}`}`);
}
