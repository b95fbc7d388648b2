// What every source on disk is told.

import type { OnProgress } from "../../base/progress.js";
import type { Platform } from "../types.js";

export interface LocalPullOptions {
  /** For messages: "oci:/srv/layout:v1". */
  readonly what: string;
  readonly platform: Platform;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}
