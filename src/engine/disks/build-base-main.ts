// The program that builds one base: reads a request from stdin, merges the layers into an ext4 file, answers on
// stdout. A process of its own, because it reads hostile images. It ends with kilnd: when stdin closes, it goes. It
// loads what it needs and no more: nothing of registries and credentials, and each build waits for what is loaded.

import "../../base/runtime.js";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import * as v from "valibot";
import { Code, KilnError } from "../../base/errors.js";
import type { OnProgress } from "../../base/progress.js";
import { createExt4Sink } from "../../disk/index.js";
import { mergeLayers } from "../../image/layers/index.js";
import {
  type BuildMessage,
  type BuildRequest,
  BuildRequestSchema,
  type BuildResult,
  encodeError,
  encodeMessage,
} from "../common/base-protocol.js";
import { hasInit } from "./tree-lookup.js";

/** Layers report every read; a line for each would cost more than the reads. */
const REPORT_EVERY_MS = 100;

async function main(): Promise<void> {
  const lines = createInterface({ input: process.stdin });
  lines.once("line", (line) => void answer(line));
  lines.once("close", () => process.exit(1)); // kilnd has gone
}

async function answer(line: string): Promise<void> {
  try {
    const request = v.parse(BuildRequestSchema, JSON.parse(line));
    say({
      result: await build(
        request,
        throttled((progress) => say({ progress: { ...progress } })),
      ),
    });
  } catch (error) {
    say(encodeError(KilnError.from(error)));
  }
  process.stdout.end(() => process.exit(0));
}

async function build(request: BuildRequest, onProgress: OnProgress): Promise<BuildResult> {
  const { layers, output, diskBytes, identity, limits } = request;
  const sink = await createExt4Sink(output, { sizeBytes: diskBytes, identity, mtimeNs: 0n });
  try {
    const { root } = await mergeLayers({ layers, sink, limits, onProgress });
    const init = hasInit(root);
    const { sizeBytes, inodes, dataBytes } = await sink.finish(root);
    return { sizeBytes, inodes, dataBytes, hasInit: init };
  } catch (error) {
    await sink.abort();
    await rm(output, { force: true });
    throw error;
  }
}

/** The first and last word of each step, and one in a while between. */
function throttled(report: OnProgress): OnProgress {
  const last = new Map<string, number>();
  return (update) => {
    const now = Date.now();
    const complete =
      update.status === "done" || (update.total !== undefined && update.current === update.total);
    if (!complete && now - (last.get(update.id) ?? 0) < REPORT_EVERY_MS) return;
    last.set(update.id, now);
    report(update);
  };
}

function say(message: BuildMessage): void {
  process.stdout.write(encodeMessage(message));
}

process.on("uncaughtException", (error) => {
  say(
    encodeError(
      new KilnError(Code.Internal, `the base builder failed: ${error.message}`, { reason: "internal" }),
    ),
  );
  process.exit(1);
});
await main();
