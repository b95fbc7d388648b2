// Building kernels as other rooms see it.

import type { Abortable, OnProgress } from "../../base/progress.js";
import type { BuiltKernel } from "./built.js";
import type { KernelArchitecture } from "./recipe.js";

export interface KernelBuildRequest {
  /** "6.1", "6.1.192", "6.1.192-2"; "" for the current one of this Debian release. */
  readonly version?: string | undefined;
  /** Default this machine's. */
  readonly architecture?: KernelArchitecture | undefined;
  /** false: builds again what is there. Default true. */
  readonly cache?: boolean | undefined;
  /** How many compilers run at once; default one per CPU. */
  readonly jobs?: number | undefined;
}

export interface KernelBuildOptions extends Abortable {
  readonly onProgress?: OnProgress | undefined;
}

/** What a request comes to, before anything is fetched or compiled. */
export interface KernelBuildPlan {
  /** Of the result: source version, configuration, architecture, compiler. */
  readonly key: string;
  readonly architecture: KernelArchitecture;
  readonly source: { readonly package: string; readonly version: string };
  readonly compiler: string;
  readonly linker: string;
  readonly configuration: string;
}

/** Builds kernels from Debian's sources with kiln's configuration, once for each key. */
export interface KernelBuilder {
  /** Clears away what a kill has left. */
  open(): Promise<void>;
  /** @throws KilnError as `build`, but for what happens while compiling */
  plan(request: KernelBuildRequest, options?: KernelBuildOptions): Promise<KernelBuildPlan>;
  /**
   * @throws KilnError failed_precondition `build-tools-missing`, `kernel-config-lost`, `build-sandbox`; not_found
   *   `no-such-kernel-version`; unavailable `kernel-fetch-failed`; internal `kernel-build-failed` naming the log
   */
  build(request: KernelBuildRequest, options?: KernelBuildOptions): Promise<BuiltKernel>;
  /** Unpacks and configures only: whether every line of the fragments holds. */
  check(request: KernelBuildRequest, options?: KernelBuildOptions): Promise<KernelBuildPlan>;
  /** Results that were built with the current configuration, newest sources first. Asks nobody. */
  current(architecture?: KernelArchitecture): Promise<BuiltKernel[]>;
  /** Bytes on disk: results, packages, logs. */
  usage(): Promise<number>;
  /** Removes them, but for builds under way; gives the bytes that were taken. */
  clear(): Promise<number>;
}
