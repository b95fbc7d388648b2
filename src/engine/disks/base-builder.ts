// Runs the base builder as a child process: a hostile image can exhaust or crash that process, never kilnd, and its
// memory goes back when it ends. The child ends with kilnd: it watches its stdin.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Code, KilnError } from "../../base/errors.js";
import type { OnProgress } from "../../base/progress.js";
import { type BuildRequest, type BuildResult, decodeError, decodeMessage } from "../common/base-protocol.js";
import type { BaseBuilder, BuildOptions } from "../common/rooms.js";

const MAIN = fileURLToPath(new URL("./build-base-main.js", import.meta.url));
const MOST_STDERR = 4096;

/** The real builder. @param main another program for tests */
export function createBaseBuilder(main: string = MAIN): BaseBuilder {
  return (request, options) => build(main, request, options);
}

async function build(main: string, request: BuildRequest, options: BuildOptions): Promise<BuildResult> {
  options.signal?.throwIfAborted();
  const child = spawn(process.execPath, ["--max-semi-space-size=16", main], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: process.env.PATH },
  });
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  ended.catch(() => undefined);
  const onAbort = () => child.kill("SIGKILL");
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    child.stdin.on("error", () => undefined); // a builder that died says so by its exit
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const stderr = tailOf(child.stderr);
    const result = await readMessages(child.stdout, options.onProgress);
    const [code, signal] = await ended;
    options.signal?.throwIfAborted();
    if (result !== undefined) return result;
    throw died(code, signal, stderr());
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
    child.kill("SIGKILL");
  }
}

async function readMessages(stdout: Readable, onProgress?: OnProgress): Promise<BuildResult | undefined> {
  let result: BuildResult | undefined;
  for await (const line of createInterface({ input: stdout, crlfDelay: Number.POSITIVE_INFINITY })) {
    const message = decodeMessage(line);
    if ("error" in message) throw decodeError(message.error);
    if ("result" in message) result = message.result;
    else onProgress?.(message.progress);
  }
  return result;
}

function tailOf(stream: Readable): () => string {
  let tail = "";
  stream.setEncoding("utf8").on("data", (text: string) => {
    tail = (tail + text).slice(-MOST_STDERR);
  });
  return () => tail.trim();
}

function died(code: number | null, signal: NodeJS.Signals | null, stderr: string): KilnError {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  const memory = signal === "SIGKILL" || /heap out of memory/.test(stderr);
  return new KilnError(
    Code.Internal,
    `the base builder ended by ${how}: ${stderr.slice(-300) || "no word why"}`,
    {
      reason: memory ? "base-builder-out-of-memory" : "base-builder-died",
      hint: memory ? "the image holds too many files for this host's memory" : undefined,
    },
  );
}
