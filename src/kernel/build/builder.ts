// Builds a kernel: sources through apt, configuration checked, compiled in the sandbox, kept under the key of
// everything that went into it. Composes the rest of this directory.

import type { WriteStream } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { directoryBytes, freeBytes, makeDirectory } from "../../base/files.js";
import { type Logger, silentLogger } from "../../base/log.js";
import { formatSize } from "../../base/units.js";
import { readBootImage } from "../vmlinux.js";
import { withBuildLog } from "./build-log.js";
import { type BuiltKernel, findBuilt, listBuilt, storeBuilt } from "./built.js";
import { type Compiled, type CompileJob, compileKernel, configureKernel } from "./compile.js";
import { type KernelPatch, patchesFor, readConfiguration } from "./configuration.js";
import type { FragmentLine } from "./fragment.js";
import { buildKey, KERNEL_TARGETS, type KernelArchitecture } from "./recipe.js";
import { buildUser, chooseSandbox, type Sandbox } from "./sandbox.js";
import { removeAbandoned } from "./scratch.js";
import { fetchSources, resolveSources } from "./source.js";
import { findToolchain, hostArchitecture, isCross } from "./toolchain.js";
import type { KernelBuilder, KernelBuildOptions, KernelBuildPlan, KernelBuildRequest } from "./types.js";
import { giveTo, makePassage, makeWorkPlace, removeWorkPlace, type WorkPlace } from "./work-place.js";

export interface KernelBuilderOptions {
  /** Where results, packages and logs are kept. */
  readonly directory: string;
  /** Holds common.config, one fragment for each architecture, and patches/<series>/*.patch. */
  readonly fragments: string;
  /** Where compilers work; default below `directory`. */
  readonly workDirectory?: string | undefined;
  readonly log?: Logger | undefined;
}

/** An unpacked and compiled tree takes 1.7 GB, the package twice 0.14. */
const NEEDED_BYTES = 2_500_000_000;
/** What a compiler may take: fewer run where there is less memory. */
const BYTES_PER_JOB = 512 * 1024 ** 2;

/** Call `open()` before anything else. */
export function createKernelBuilder(options: KernelBuilderOptions): KernelBuilder {
  return new Builder(options);
}

interface Prepared {
  readonly plan: KernelBuildPlan;
  readonly lines: readonly FragmentLine[];
  readonly patches: readonly KernelPatch[];
}

class Builder implements KernelBuilder {
  readonly #directory: string;
  readonly #fragments: string;
  readonly #log: Logger;
  readonly #built: string;
  readonly #sources: string;
  readonly #logs: string;
  readonly #work: string;

  constructor({ directory, fragments, workDirectory, log = silentLogger }: KernelBuilderOptions) {
    this.#directory = directory;
    this.#fragments = fragments;
    this.#log = log;
    this.#built = join(directory, "built");
    this.#sources = join(directory, "sources");
    this.#logs = join(directory, "logs");
    this.#work = workDirectory ?? join(directory, "work");
  }

  async open(): Promise<void> {
    await makePassage(this.#directory);
    for (const directory of [this.#built, this.#sources, this.#work]) await removeAbandoned(directory);
  }

  async plan(request: KernelBuildRequest, options: KernelBuildOptions = {}): Promise<KernelBuildPlan> {
    return (await this.#prepare(request, options)).plan;
  }

  /** The plan, and the very lines that its key stands for: the files may be edited meanwhile. */
  async #prepare(request: KernelBuildRequest, options: KernelBuildOptions): Promise<Prepared> {
    const target = KERNEL_TARGETS[request.architecture ?? hostArchitecture()];
    const configuration = await readConfiguration(this.#fragments, target);
    const { compiler, linker } = await findToolchain(target, options);
    const source = await resolveSources(request.version ?? "", this.#sources, options);
    const inputs = { compiler, linker, configuration: configuration.hash };
    const key = buildKey({ ...inputs, target, source: `${source.package} ${source.version}` });
    const plan = { ...inputs, key, source, architecture: target.architecture };
    const patches = patchesFor(configuration.patches, source.package);
    return { plan, lines: configuration.lines, patches };
  }

  async build(request: KernelBuildRequest, options: KernelBuildOptions = {}): Promise<BuiltKernel> {
    const prepared = await this.#prepare(request, options);
    const { plan } = prepared;
    const found = request.cache === false ? undefined : await findBuilt(this.#built, plan.key, this.#log);
    if (found !== undefined) {
      const message = `built before, key ${plan.key.slice(0, 12)}`;
      options.onProgress?.({ id: "compile", status: "exists", message });
      return found;
    }
    const started = process.hrtime.bigint();
    return await this.#inWorkPlace(plan, options, async (place, log) => {
      // First, because nothing need be fetched for a build that can't run here.
      const sandbox = await this.#enter(place, options);
      const job = await this.#job(prepared, request.jobs, options);
      const compiled = await compileKernel(job, { ...options, place, sandbox, log });
      return await this.#store(plan, compiled, Number(process.hrtime.bigint() - started) / 1e9);
    });
  }

  async check(request: KernelBuildRequest, options: KernelBuildOptions = {}): Promise<KernelBuildPlan> {
    const prepared = await this.#prepare(request, options);
    const { plan } = prepared;
    await this.#inWorkPlace(plan, options, async (place, log) => {
      const sandbox = await this.#enter(place, options);
      const job = await this.#job(prepared, 1, options);
      await configureKernel(job, { ...options, place, sandbox, log });
    });
    return plan;
  }

  async current(architecture: KernelArchitecture = hostArchitecture()): Promise<BuiltKernel[]> {
    const { hash } = await readConfiguration(this.#fragments, KERNEL_TARGETS[architecture]);
    const records = (await listBuilt(this.#built, this.#log))
      .filter((record) => record.architecture === architecture && record.configuration === hash)
      .sort((a, b) => b.epoch - a.epoch);
    const found = await Promise.all(records.map(({ key }) => findBuilt(this.#built, key, this.#log)));
    return found.filter((built) => built !== undefined);
  }

  async usage(): Promise<number> {
    let bytes = 0;
    for (const path of [this.#built, this.#sources, this.#logs]) bytes += await directoryBytes(path);
    return bytes;
  }

  async clear(): Promise<number> {
    const bytes = await this.usage();
    for (const path of [this.#built, this.#sources, this.#logs]) {
      await rm(path, { recursive: true, force: true });
    }
    return bytes;
  }

  /** @throws KilnError `invalid-kernel`, `kernel-build-failed` where what came out is no kernel of that architecture */
  async #store(plan: KernelBuildPlan, compiled: Compiled, seconds: number): Promise<BuiltKernel> {
    const { image, architecture, release } = await readBootImage(await readFile(compiled.image));
    if (architecture !== plan.architecture) {
      throw new KilnError(Code.Internal, `the build gave a kernel for ${architecture}`, {
        reason: "kernel-build-failed",
      });
    }
    const { epoch, objects } = compiled;
    const facts = { release, imageBytes: image.length, epoch, objects, seconds: Math.round(seconds) };
    const built = await storeBuilt(this.#built, { ...plan, ...facts }, compiled);
    this.#log.info("a kernel was built", { release, architecture, key: plan.key, seconds: facts.seconds });
    return built;
  }

  async #job(
    { plan, lines, patches }: Prepared,
    jobs: number | undefined,
    options: KernelBuildOptions,
  ): Promise<CompileJob> {
    const target = KERNEL_TARGETS[plan.architecture];
    const cross = isCross(target);
    const before = (await listBuilt(this.#built, this.#log)).find(
      (record) => record.architecture === plan.architecture && record.configuration === plan.configuration,
    );
    return {
      target,
      cross,
      lines,
      patches,
      toolPrefix: cross ? target.crossPrefix : "",
      packageFile: await fetchSources(plan.source, this.#sources, options),
      source: `${plan.source.package} ${plan.source.version}`,
      jobs: jobs ?? usualJobs(),
      expectedObjects: before?.objects ?? target.usualObjects,
    };
  }

  /** The work place, given to its user, and the sandbox around it. */
  async #enter(place: WorkPlace, options: KernelBuildOptions): Promise<Sandbox> {
    await giveTo(place, buildUser());
    const sandbox = await chooseSandbox(place.tree, options);
    if (!sandbox.fenced) {
      this.#log.warn("no namespaces here: the kernel's build sees the network", { place: place.root });
    }
    return sandbox;
  }

  async #inWorkPlace<T>(
    plan: KernelBuildPlan,
    options: KernelBuildOptions,
    body: (place: WorkPlace, log: WriteStream) => Promise<T>,
  ): Promise<T> {
    try {
      await requireSpace(this.#work);
      const name = `${plan.architecture}-${plan.source.version}-${plan.key.slice(0, 12)}`;
      return await withBuildLog(this.#logs, name, options.signal, async (log) => {
        const place = await makeWorkPlace(this.#work);
        try {
          options.signal?.throwIfAborted();
          return await body(place, log);
        } finally {
          await removeWorkPlace(place);
        }
      });
    } catch (error) {
      throw KilnError.from(error, `build Linux ${plan.source.version} for ${plan.architecture}`);
    }
  }
}

/** One for each CPU, as far as there is memory for them. */
function usualJobs(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / BYTES_PER_JOB)));
}

async function requireSpace(path: string): Promise<void> {
  await makeDirectory(path, 0o755);
  const free = await freeBytes(path);
  if (free >= NEEDED_BYTES) return;
  throw new KilnError(
    Code.ResourceExhausted,
    `only ${formatSize(free)} are free at ${path}, ${formatSize(NEEDED_BYTES)} are needed`,
    { reason: "host-disk-full", hint: "free space, for example with `kiln system prune`" },
  );
}
