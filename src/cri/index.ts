// The door of the CRI server: Kubernetes' runtime.v1 over an engine.

export type { CriFacts } from "./facts.js";
export { createCri } from "./server.js";
