// Zstandard by whatever this host has: Node's zlib where it is new enough, else the zstd program, else fzstd, which
// is JavaScript and several times slower.

import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Transform } from "node:stream";
import * as zlib from "node:zlib";
import { Decompress } from "fzstd";
import { Code, KilnError } from "../../base/errors.js";
import {
  type ByteStream,
  corrupt,
  OUTPUT_CHUNK,
  passThrough,
  pipeThrough,
  truncated,
} from "./byte-stream.js";
import { windowTooLarge, ZstdFrames } from "./zstd-frames.js";

export type ZstdDecoder = "native" | "program" | "script";

const NAME = "zstd";

// Node >= 22.15; the types are those of Node 20.
type CreateZstdDecompress = (options: { chunkSize: number }) => Transform;
const createZstdDecompress = (zlib as { createZstdDecompress?: CreateZstdDecompress }).createZstdDecompress;

/** The fastest decoder of this host. */
export function chooseZstdDecoder(env: NodeJS.ProcessEnv = process.env): ZstdDecoder {
  if (createZstdDecompress !== undefined) return "native";
  return findProgram(NAME, env) === undefined ? "script" : "program";
}

/** See decompress(). @param decoder for tests; chosen by the host otherwise */
export function openZstd(
  source: AsyncIterable<Uint8Array>,
  ahead: number,
  decoder: ZstdDecoder = chooseZstdDecoder(),
): ByteStream {
  if (decoder === "native" && createZstdDecompress !== undefined) {
    const stream = createZstdDecompress({ chunkSize: OUTPUT_CHUNK });
    return pipeThrough(source, stream, stream, { ahead, describe: NAME });
  }
  const program = decoder === "script" ? undefined : findProgram(NAME, process.env);
  return program === undefined ? passThrough(decodeByScript(source)) : runProgram(source, program, ahead);
}

function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  for (const directory of (env.PATH ?? "").split(delimiter)) {
    const path = join(directory, name);
    try {
      if (directory !== "") accessSync(path, constants.X_OK);
      else continue;
      return path;
    } catch {
      // Not here: the next directory may have it.
    }
  }
  return undefined;
}

const STDERR_LIMIT = 4096;

function runProgram(source: AsyncIterable<Uint8Array>, program: string, ahead: number): ByteStream {
  // Quiet, from stdin to stdout. Its default window limit (128 MiB) bounds its memory against hostile frames.
  const child = spawn(program, ["-d", "-c", "-q"], { stdio: ["pipe", "pipe", "pipe"], env: { PATH: "" } });
  let complaint = "";
  child.stderr.on("data", (text: Buffer) => {
    if (complaint.length < STDERR_LIMIT) complaint += text.toString("latin1");
  });
  const exit = exitOf(child);
  return pipeThrough(source, child.stdin, child.stdout, {
    ahead,
    describe: NAME,
    finished: async () => judge(await exit, complaint.trim().slice(0, STDERR_LIMIT)),
    release: async () => {
      child.kill("SIGKILL");
      // A child that never started has no exit; it is gone all the same.
      await exit.catch(() => undefined);
    },
  });
}

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

function exitOf(child: ChildProcess): Promise<Exit> {
  const exit = new Promise<Exit>((resolve, reject) => {
    child.once("error", (error) => reject(KilnError.from(error, "start the zstd program")));
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  // Looked at once the output has ended.
  exit.catch(() => undefined);
  return exit;
}

function judge({ code, signal }: Exit, complaint: string): void {
  if (code === 0) return;
  if (signal !== null) throw killed(signal);
  if (/unexpected end|premature|truncated|incomplete/i.test(complaint)) throw truncated(NAME);
  if (/too much memory|window/i.test(complaint)) throw windowTooLarge(complaint);
  throw corrupt(NAME, complaint === "" ? `the zstd program ended with status ${code}` : complaint);
}

/** Nothing is said about the data by that. */
function killed(signal: NodeJS.Signals): KilnError {
  return new KilnError(Code.Unavailable, `decompress zstd data: the zstd program was ended by ${signal}`, {
    reason: "zstd-program-ended",
    hint: "try again; if it happens again, the host may be short of memory",
  });
}

// One block of 4 bytes may stand for 128 KiB: small slices bound what one call puts out.
const SLICE = 4096;

async function* decodeByScript(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const output: Uint8Array[] = [];
  const decoder = new Decompress((chunk) => {
    if (chunk.length > 0) output.push(chunk);
  });
  const frames = new ZstdFrames();
  for await (const chunk of source) {
    for (let start = 0; start < chunk.length; start += SLICE) {
      // fzstd keeps views on what it was given; the source uses its buffers again.
      const slice = Uint8Array.from(chunk.subarray(start, start + SLICE));
      frames.check(slice);
      push(decoder, slice, false);
      yield* output.splice(0);
    }
  }
  frames.finish();
  // It keeps back frames of less than 18 bytes until it is told that no more is to come.
  push(decoder, new Uint8Array(0), true);
  yield* output.splice(0);
}

function push(decoder: Decompress, chunk: Uint8Array, final: boolean): void {
  try {
    decoder.push(chunk, final);
  } catch (error) {
    throw corrupt(NAME, error instanceof Error ? error.message : String(error), error);
  }
}
