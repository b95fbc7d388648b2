// The door of the kernel room.

export { type CatalogueOptions, createKernelCatalogue } from "./catalogue.js";
export { type FetchOptions, fetchDebianKernel } from "./debian.js";
export type { KernelCatalogue, KernelImportOptions, StoredKernel } from "./types.js";
