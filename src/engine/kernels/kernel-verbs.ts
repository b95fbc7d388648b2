// Kernels as users see them: import from a file, a package, Debian or an OCI kernel image; remove what nobody needs.

import { mkdtemp, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import { UndoStack } from "../../base/undo.js";
import { parsePlatform } from "../../image/index.js";
import type { StoredImage } from "../../image/types.js";
import type { BuiltKernel, KernelArchitecture } from "../../kernel/index.js";
import type { KernelImportOptions, StoredKernel } from "../../kernel/types.js";
import type { EventLog } from "../common/events.js";
import type { Rooms } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import { SharedWork, type WorkOptions } from "../common/shared-work.js";
import { SpoolSink } from "../disks/spool-sink.js";
import { type Host, requireDisk } from "../host/host.js";
import { leaseFound } from "../objects/lease-found.js";
import type { References } from "../objects/references.js";
import type { KernelAssets } from "./kernel-assets.js";
import { kernelLayer, ownKernelOf, planKernelImage } from "./kernel-image.js";

export interface ImportKernelSpec {
  /** A file, "debian", or an image reference. */
  readonly source: string;
  readonly name?: string | undefined;
  readonly makeDefault: boolean;
  readonly modulesDirectory?: string | undefined;
}

/** A kernel as `kiln kernel ls` shows it. */
export interface ListedKernel {
  readonly kernel: StoredKernel;
  readonly isDefault: boolean;
  readonly why: string;
}

export interface BuildKernelSpec {
  readonly version: string;
  /** "" for the host's. */
  readonly architecture: string;
  readonly cache: boolean;
  /** 0: one per CPU. */
  readonly jobs: number;
  readonly name: string;
  readonly makeDefault: boolean;
}

/** What a build gave. */
export interface ListedBuild {
  readonly image: StoredImage;
  readonly imageName: string;
  /** undefined where it is for another architecture than the host's. */
  readonly kernel: ListedKernel | undefined;
  readonly cached: boolean;
}

export interface KernelVerbsDeps {
  readonly dataRoot: string;
  readonly rooms: Pick<Rooms, "kernels" | "kernelBuilder" | "images" | "mergeLayers">;
  readonly settings: Pick<EngineSettings, "diskReserveBytes" | "buildLimits">;
  readonly host: Host;
  readonly events: Pick<EventLog, "emit">;
  readonly kernels: Pick<KernelAssets, "drop" | "has">;
  readonly references: References;
}

export class KernelVerbs {
  readonly #deps: KernelVerbsDeps;
  readonly #builds = new SharedWork<BuiltKernel>();

  constructor(deps: KernelVerbsDeps) {
    this.#deps = deps;
  }

  list(): ListedKernel[] {
    const { kernels } = this.#deps.rooms;
    const chosen = kernels.default();
    return kernels.list().map((kernel) => this.#listed(kernel, chosen));
  }

  describe(kernel: StoredKernel): ListedKernel {
    return this.#listed(kernel, this.#deps.rooms.kernels.default());
  }

  async import(spec: ImportKernelSpec, options: WorkOptions): Promise<ListedKernel> {
    const { host, dataRoot, settings, rooms } = this.#deps;
    await requireDisk(host, `import kernel ${spec.source}`, dataRoot, 0, settings.diskReserveBytes);
    const kernel = await this.#import(spec, options);
    if (spec.makeDefault) await rooms.kernels.setDefault(kernel.id);
    this.#emit("import", kernel);
    return this.describe(kernel);
  }

  /**
   * Builds a kernel (once for all who ask for the same), makes an image of it and imports that as any other.
   *
   * @throws KilnError what the builder says, `bad-architecture`
   */
  async build(spec: BuildKernelSpec, options: WorkOptions): Promise<ListedBuild> {
    const { host, dataRoot, settings, rooms } = this.#deps;
    const { version, cache, jobs } = spec;
    const architecture = parseArchitecture(spec.architecture);
    await requireDisk(host, "build a kernel", dataRoot, 0, settings.diskReserveBytes);
    const request = { version, architecture, cache, jobs: jobs === 0 ? undefined : jobs };
    const built = await this.#builds.run(JSON.stringify(request), options, (signal, onProgress) =>
      rooms.kernelBuilder.build(request, { signal, onProgress }),
    );
    const plan = planKernelImage(built);
    const image = await rooms.images.importTar(kernelLayer(built), {
      ...plan,
      createdBy: "kiln kernel build",
      signal: options.signal,
    });
    const result = { image, imageName: plan.name, cached: built.cached };
    if (host.facts.platform !== `linux/${built.architecture}`) return { ...result, kernel: undefined };
    const { name, makeDefault } = spec;
    return { ...result, kernel: await this.import({ source: plan.name, name, makeDefault }, options) };
  }

  /**
   * @param force also where VMs use it: they then can't start until it is imported again. One that starts keeps it
   * @throws KilnError failed_precondition `kernel-in-use`
   */
  async remove(key: string, force: boolean): Promise<string> {
    const { rooms, references, kernels } = this.#deps;
    const kernel = rooms.kernels.find(key);
    const claim = references.claim(
      { noun: "kernel", id: kernel.id },
      force ? { breaks: ["made-from"] } : { hint: "remove those VMs first" },
    );
    try {
      await rooms.kernels.remove(kernel.id);
      await kernels.drop(kernel.id);
    } finally {
      claim.release();
      // Also where some of its files could not be taken away.
      if (!kernels.has(kernel.id)) this.#emit("delete", kernel);
    }
    return kernel.id;
  }

  async #import(spec: ImportKernelSpec, options: WorkOptions): Promise<StoredKernel> {
    const { kernels } = this.#deps.rooms;
    const how = {
      name: spec.name || undefined,
      modulesDirectory: spec.modulesDirectory || undefined,
      ...{ signal: options.signal, onProgress: options.onProgress },
    };
    if (spec.source === "debian") return kernels.importDebian(how);
    if (await isFile(spec.source)) return kernels.importFile(spec.source, how);
    if (spec.source.startsWith("/")) throw noKernelFile(spec.source);
    return this.#importImage(spec.source, how, options);
  }

  /** Ignite's form: an image that holds /boot/vmlinux and /lib/modules. */
  async #importImage(
    reference: string,
    how: KernelImportOptions,
    options: WorkOptions,
  ): Promise<StoredKernel> {
    const { rooms, dataRoot, host, references } = this.#deps;
    await using undo = new UndoStack();
    const why = "a kernel is being imported from it";
    const image = await leaseFound(
      { references, leases: undo, why, signal: options.signal },
      {
        find: async () =>
          rooms.images.find(reference) ??
          (await rooms.images.pull(reference, { ...how, platform: parsePlatform(host.facts.platform) })),
        refOf: ({ id }) => ({ noun: "image", id }),
        isHere: ({ id }) => rooms.images.find(id) !== undefined,
      },
    );
    const temp = await mkdtemp(join(dataRoot, "kernel-image-"));
    undo.push(`remove ${temp}`, () => rm(temp, { recursive: true, force: true }));
    const sink = new SpoolSink(join(temp, "spool"));
    undo.push("remove the spool", () => sink.dispose());
    const layers = image.layers.map((layer) => ({ ...layer, path: rooms.images.blobPath(layer.digest) }));
    const { root } = await rooms.mergeLayers({
      layers,
      sink,
      limits: this.#deps.settings.buildLimits,
      ...{ signal: options.signal, onProgress: options.onProgress },
    });
    await sink.finish(root);
    const tree = join(temp, "tree");
    if (!(await extractKernel(sink, tree))) throw noKernelIn(reference);
    // Awaited here: what it reads is removed when this function returns.
    return await rooms.kernels.importTree(tree, { ...how, source: reference, own: ownKernelOf(image) });
  }

  #listed(kernel: StoredKernel, chosen: { kernel: StoredKernel; why: string } | undefined): ListedKernel {
    const isDefault = chosen?.kernel.id === kernel.id;
    return { kernel, isDefault, why: isDefault ? (chosen?.why ?? "") : "" };
  }

  #emit(action: string, { id, name, release }: StoredKernel): void {
    this.#deps.events.emit({ type: "kernel", action, id, attributes: { name, release } });
  }
}

function parseArchitecture(text: string): KernelArchitecture | undefined {
  if (text === "") return undefined;
  if (text === "amd64" || text === "arm64") return text;
  throw new KilnError(Code.InvalidArgument, `kiln builds no kernels for "${text}"`, {
    reason: "bad-architecture",
    hint: "choose amd64 or arm64",
  });
}

async function extractKernel(sink: SpoolSink, tree: string): Promise<boolean> {
  await makeDirectory(join(tree, "boot"), 0o755);
  await makeDirectory(join(tree, "lib"), 0o755);
  const found = await sink.extract("/boot/vmlinux", join(tree, "boot/vmlinux"));
  await sink.extract("/lib/modules", join(tree, "lib/modules"));
  return found;
}

function noKernelIn(reference: string): KilnError {
  return new KilnError(Code.InvalidArgument, `image ${reference} holds no /boot/vmlinux`, {
    reason: "no-kernel-in-image",
    hint: "a kernel image holds /boot/vmlinux and /lib/modules, as Ignite's do",
  });
}

function noKernelFile(path: string): KilnError {
  return new KilnError(Code.NotFound, `import the kernel ${path}: there is no file of that name`, {
    reason: "no-such-file",
    hint: "give a vmlinux, a bzImage, a Debian linux-image package, `debian`, or an image reference",
  });
}

async function isFile(path: string): Promise<boolean> {
  if (!path.includes("/")) return false;
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
