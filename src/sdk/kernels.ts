// `kiln.kernels`: guest kernels.

import { Code, KilnError } from "../base/errors.js";
import { builtKernelFromJson, kernelFromJson, progressFromJson } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { Listing } from "./listing.js";
import type { Transport } from "./transport.js";
import type { BuiltKernel, KernelInfo, Progress } from "./types.js";

/** Options of `kiln.kernels.import()`. */
export interface ImportKernelOptions extends CallOptions {
  readonly name?: string | undefined;
  readonly makeDefault?: boolean | undefined;
  /** Modules that belong to a plain vmlinux: the directory that holds `kernel/` and `modules.dep`. */
  readonly modulesDirectory?: string | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

const IMPORT_KERNEL_OPTIONS: NamesOf<ImportKernelOptions> = {
  ...CALL,
  name: true,
  makeDefault: true,
  modulesDirectory: true,
  onProgress: true,
};

/** Options of `kiln.kernels.build()`. */
export interface BuildKernelOptions extends CallOptions {
  /** "6.1", "6.1.192", "6.1.192-2"; default Debian's current one. */
  readonly version?: string | undefined;
  /** Default the host's. */
  readonly architecture?: "amd64" | "arm64" | undefined;
  /** false: builds again what was built before. */
  readonly cache?: boolean | undefined;
  /** How many compilers run at once; default one per CPU. */
  readonly jobs?: number | undefined;
  readonly name?: string | undefined;
  readonly makeDefault?: boolean | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

const BUILD_KERNEL_OPTIONS: NamesOf<BuildKernelOptions> = {
  ...CALL,
  version: true,
  architecture: true,
  cache: true,
  jobs: true,
  name: true,
  makeDefault: true,
  onProgress: true,
};

/** Options of `kiln.kernels.remove()`. */
export interface RemoveKernelOptions extends CallOptions {
  /** Also where VMs use it. */
  readonly force?: boolean | undefined;
}

const REMOVE_KERNEL_OPTIONS: NamesOf<RemoveKernelOptions> = { ...CALL, force: true };

/** The kernels of one kilnd. */
export class Kernels {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  list(options: CallOptions = {}): Listing<KernelInfo> {
    return new Listing(async () => {
      checkOptions("kiln.kernels.list()", options, CALL);
      const { kernels } = await this.#transport.unary("KernelService/ListKernels", {}, options);
      return (kernels ?? []).map(kernelFromJson);
    });
  }

  /** @param source a vmlinux or bzImage file, a .deb, "debian" (the packaged cloud kernel), or an image reference */
  async import(source: string, options: ImportKernelOptions = {}): Promise<KernelInfo> {
    checkOptions("kiln.kernels.import()", options, IMPORT_KERNEL_OPTIONS);
    const { name = "", makeDefault = false, modulesDirectory = "" } = options;
    const request = { source, name, makeDefault, modulesDirectory };
    let kernel: KernelInfo | undefined;
    for await (const message of this.#transport.serverStream(
      "KernelService/ImportKernel",
      request,
      options,
    )) {
      if (message.progress !== undefined) options.onProgress?.(progressFromJson(message.progress));
      if (message.kernel !== undefined) kernel = kernelFromJson(message.kernel);
    }
    if (kernel !== undefined) return kernel;
    throw new KilnError(Code.Internal, `import the kernel ${source}: kilnd ended the call without one`, {
      reason: "unexpected-answer",
    });
  }

  /**
   * Builds kiln's own kernel from Debian's sources, once for each version and configuration: a quarter of an hour on two
   * cores. Given up when the call is.
   */
  async build(options: BuildKernelOptions = {}): Promise<BuiltKernel> {
    checkOptions("kiln.kernels.build()", options, BUILD_KERNEL_OPTIONS);
    const { version = "", architecture = "", jobs = 0, name = "", makeDefault = false } = options;
    const request = { version, architecture, noCache: options.cache === false, jobs, name, makeDefault };
    let built: BuiltKernel | undefined;
    for await (const message of this.#transport.serverStream("KernelService/BuildKernel", request, options)) {
      if (message.progress !== undefined) options.onProgress?.(progressFromJson(message.progress));
      if (message.built !== undefined) built = builtKernelFromJson(message.built);
    }
    if (built !== undefined) return built;
    throw new KilnError(Code.Internal, "build a kernel: kilnd ended the call without one", {
      reason: "unexpected-answer",
    });
  }

  /** @param kernel name, id or unique id prefix */
  async remove(kernel: string, options: RemoveKernelOptions = {}): Promise<string> {
    checkOptions("kiln.kernels.remove()", options, REMOVE_KERNEL_OPTIONS);
    const request = { kernel, force: options.force ?? false };
    const { id } = await this.#transport.unary("KernelService/RemoveKernel", request, options);
    return id ?? "";
  }
}
