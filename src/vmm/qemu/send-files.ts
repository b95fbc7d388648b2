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
  const child = spawn(program, [String(files.length)], {
    cwd: "/",
    env: planEnvironment({}),
    stdio: ["pipe", "ignore", "pipe", descriptorOf(socket), ...files],
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  let words = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString("utf8")).slice(0, MAX_WORDS);
  });
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(line);
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    if (code !== 0) throw new Error(words.trim() || `it ended by ${signal ?? `exit code ${code}`}`);
  } catch (error) {
    throw new KilnError(Code.Internal, `hand a file to QEMU: ${(error as Error).message}`, {
      reason: "files-not-sent",
      hint: `is ${program} there, as kiln was built?`,
      cause: error,
    });
  }
}
