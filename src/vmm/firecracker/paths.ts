// Where a VM's sockets, FIFOs and configuration are, and the command line that names them.

import { join } from "node:path";
import { socketPath } from "../socket-path.js";

/** Everything of a VM that has a place in its run directory. */
export interface FirecrackerPaths {
  readonly api: string;
  readonly vsock: string;
  /** FIFOs: bounded by the kernel, whatever a guest makes Firecracker write. */
  readonly console: string;
  readonly log: string;
  readonly metrics: string;
  readonly config: string;
}

export function planPaths(runDirectory: string): FirecrackerPaths {
  return {
    api: socketPath(runDirectory, "api.sock"),
    vsock: socketPath(runDirectory, "vsock.sock"),
    console: join(runDirectory, "console"),
    log: join(runDirectory, "log"),
    metrics: join(runDirectory, "metrics"),
    config: join(runDirectory, "config.json"),
  };
}

/** Info is the level at which Firecracker says that it ends because its guest has. */
export function planArguments(vmId: string, paths: FirecrackerPaths): string[] {
  return [
    ...["--id", vmId],
    ...["--api-sock", paths.api],
    ...["--config-file", paths.config],
    ...["--log-path", paths.log, "--level", "Info"],
    ...["--metrics-path", paths.metrics],
  ];
}
