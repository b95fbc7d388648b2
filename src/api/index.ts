// The door of the API: kiln.v1 over an engine.

export { type ApiOptions, createApi } from "./router.js";
export type { DaemonFacts, SettingOrigin } from "./system-service.js";
