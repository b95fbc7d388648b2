// The steps of one build in its work place: unpack, configure, compile, take out. Knows nothing of keys and caches.

import type { WriteStream } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import type { Abortable, OnProgress } from "../../base/progress.js";
import { unpackDeb } from "../deb.js";
import { MAX_VMLINUX } from "../payload.js";
import type { KernelPatch } from "./configuration.js";
import { type FragmentLine, mergeConfig, requireSurvival } from "./fragment.js";
import { type KernelTarget, planEnvironment, planMake, planPatch } from "./recipe.js";
import { isCompiledObject, runBuildCommand } from "./run.js";
import type { Sandbox } from "./sandbox.js";
import { takeOut, type WorkPlace } from "./work-place.js";

export interface CompileJob {
  readonly target: KernelTarget;
  readonly cross: boolean;
  /** Prefix of strip's name. */
  readonly toolPrefix: string;
  readonly lines: readonly FragmentLine[];
  /** What is changed of the sources, in this order. */
  readonly patches: readonly KernelPatch[];
  /** The package of the sources. */
  readonly packageFile: string;
  /** "linux-source-6.1 6.1.192-2", for messages. */
  readonly source: string;
  readonly jobs: number;
  /** About how many objects there are. */
  readonly expectedObjects: number;
}

export interface CompileContext extends Abortable {
  readonly place: WorkPlace;
  readonly sandbox: Sandbox;
  readonly log: WriteStream;
  readonly onProgress?: OnProgress | undefined;
}

export interface Compiled {
  /** Ours, in the work place. */
  readonly image: string;
  readonly config: string;
  readonly epoch: number;
  readonly objects: number;
}

const MAX_CONFIG = 4 * 1024 * 1024;
/** Configuration takes no part in the date: any will do. */
const NO_EPOCH = 0;

/** @throws KilnError `invalid-package`, `kernel-config-lost`, `kernel-build-failed`, cancelled */
export async function compileKernel(job: CompileJob, context: CompileContext): Promise<Compiled> {
  const { place } = context;
  const epoch = await unpackSources(job, context);
  const make = (goal: string, jobs?: number, onLine?: (line: string) => void) =>
    runIn(context, ["make", ...planMake(job.target, job.cross, place, goal, jobs)], epoch, onLine);
  await configure(job, context, make);
  let objects = 0;
  const report = () =>
    context.onProgress?.({
      id: "compile",
      status: "building",
      current: objects,
      total: Math.max(objects, job.expectedObjects),
      unit: "objects",
    });
  report();
  await make(job.target.goal, job.jobs, (line) => {
    if (!isCompiledObject(line)) return;
    objects++;
    report();
  });
  context.onProgress?.({ id: "compile", status: "done", current: objects, total: objects, unit: "objects" });
  const made = join(place.tree, job.target.image);
  const out = join(place.output, "image");
  await runIn(
    context,
    job.target.stripped ? [`${job.toolPrefix}strip`, "-o", out, made] : ["cp", made, out],
    epoch,
  );
  const image = join(place.root, "image");
  await takeOut(out, image, MAX_VMLINUX);
  return { image, config: join(place.root, "config"), epoch, objects };
}

/** Only the configuration, checked: what tells in a minute whether a fragment holds. */
export async function configureKernel(job: CompileJob, context: CompileContext): Promise<void> {
  const epoch = await unpackSources(job, context);
  await configure(job, context, (goal) =>
    runIn(context, ["make", ...planMake(job.target, job.cross, context.place, goal)], epoch),
  );
}

/** @returns seconds since 1970: when Debian made the source package */
async function unpackSources(job: CompileJob, context: CompileContext): Promise<number> {
  const { place, signal, onProgress } = context;
  onProgress?.({ id: "source", status: "extracting", message: job.source });
  await unpackDeb(job.packageFile, place.input, { signal });
  const directory = join(place.input, "usr/src");
  const name = (await readdir(directory)).find((each) => /^linux-source-[0-9.]+\.tar\.xz$/.test(each));
  if (name === undefined) {
    throw new KilnError(Code.InvalidArgument, `${job.packageFile} holds no /usr/src/linux-source-*.tar.xz`, {
      reason: "invalid-package",
    });
  }
  const archive = join(directory, name);
  const epoch = Math.floor((await stat(archive)).mtimeMs / 1000);
  const tar = ["tar", "--extract", "--xz", `--file=${archive}`, `--directory=${place.tree}`];
  await runIn(context, [...tar, "--strip-components=1", "--no-same-owner"], epoch);
  await rm(archive);
  for (const { name, text } of job.patches) {
    const file = join(place.input, name);
    await writeFile(file, text, { mode: 0o644 });
    await runIn(context, planPatch(place, file), epoch);
  }
  onProgress?.({ id: "source", status: "done", message: job.source });
  return epoch;
}

/** tinyconfig, the fragments over it, completed and compared; leaves it in the tree and, as ours, beside it. */
async function configure(
  job: CompileJob,
  context: CompileContext,
  make: (goal: string) => Promise<void>,
): Promise<void> {
  const { place, onProgress } = context;
  onProgress?.({ id: "config", status: "building", message: `${job.lines.length} lines over tinyconfig` });
  await make("tinyconfig");
  const base = await readConfig(context, "base");
  const merged = join(place.input, "merged");
  await writeFile(merged, mergeConfig(base, job.lines), { mode: 0o644 });
  await runIn(context, ["cp", "--remove-destination", merged, join(place.tree, ".config")], NO_EPOCH);
  await make("olddefconfig");
  const config = await readConfig(context, "config");
  requireSurvival(job.lines, config, job.source);
  onProgress?.({ id: "config", status: "done", message: `all ${job.lines.length} lines survived` });
}

/** The tree's .config, taken out under a name. */
async function readConfig(context: CompileContext, name: string): Promise<string> {
  const { place } = context;
  const out = join(place.output, name);
  await runIn(context, ["cp", join(place.tree, ".config"), out], NO_EPOCH);
  const ours = join(place.root, name);
  await takeOut(out, ours, MAX_CONFIG);
  return await readFile(ours, "utf8");
}

function runIn(
  { sandbox, place, log, signal }: CompileContext,
  argv: readonly string[],
  epoch: number,
  onLine?: (line: string) => void,
): Promise<void> {
  return runBuildCommand({ sandbox, argv, env: planEnvironment(place, epoch), log, signal, onLine });
}
