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

/** What Firecracker is told of; its console is its stdout. */
export type ToldPaths = Omit<FirecrackerPaths, "console">;

/** In the run directory: the one directory in which the VM's user makes something, its sockets. */
export const SOCKETS = "s";

/** @param sockets where the sockets are; by default beside the rest, as in a jailer's chroot */
export function planPaths(runDirectory: string, sockets = runDirectory): FirecrackerPaths {
  return {
    api: socketPath(sockets, "api.sock"),
    vsock: socketPath(sockets, "vsock.sock"),
    console: join(runDirectory, "console"),
    log: join(runDirectory, "log"),
    metrics: join(runDirectory, "metrics"),
    config: join(runDirectory, "config.json"),
  };
}

/**
 * Of a VM that runs, by the facts of its record. Earlier releases had the sockets beside the rest.
 */
export function recordedPaths(
  facts: Readonly<Record<string, string>>,
  runDirectory: string,
): FirecrackerPaths {
  if (facts.jailLink !== undefined) return planPaths(facts.jailLink);
  return planPaths(runDirectory, facts.sockets === undefined ? runDirectory : join(runDirectory, SOCKETS));
}

/** Info is the level at which Firecracker says that it ends because its guest has. */
export function planArguments(vmId: string, paths: ToldPaths): string[] {
  return [
    ...["--id", vmId],
    ...["--api-sock", paths.api],
    ...["--config-file", paths.config],
    ...["--log-path", paths.log, "--level", "Info"],
    ...["--metrics-path", paths.metrics],
  ];
}
