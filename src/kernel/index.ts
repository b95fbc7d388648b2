// The door of the kernel room.

export { createKernelBuilder, type KernelBuilderOptions } from "./build/builder.js";
export type { BuiltKernel } from "./build/built.js";
export { configurationHash } from "./build/configuration.js";
export type { KernelArchitecture } from "./build/recipe.js";
export { hostArchitecture } from "./build/toolchain.js";
export type {
  KernelBuilder,
  KernelBuildOptions,
  KernelBuildPlan,
  KernelBuildRequest,
} from "./build/types.js";
export { type CatalogueOptions, createKernelCatalogue } from "./catalogue.js";
export { fetchDebianKernel } from "./debian.js";
export type { KernelCatalogue, KernelImportOptions, StoredKernel } from "./types.js";
