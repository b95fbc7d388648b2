// The two ways in which Firecracker is started: in kiln's jail, or in its own jailer where that was asked for.

import type { Confined } from "../jail/confiner.js";
import type { FirecrackerPaths } from "./paths.js";

export interface LaunchWay {
  /** As kilnd sees them. */
  readonly paths: FirecrackerPaths;
  /** Makes everything that Firecracker finds at its start. */
  prepare(): Promise<void>;
  /** @param stdout what the guest's console goes to */
  start(stdout: number): Promise<Confined>;
  /** Removes what `prepare` has made. */
  remove(): Promise<void>;
}
