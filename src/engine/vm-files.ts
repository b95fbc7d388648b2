// Files in and out of a running VM, as tar streams, and what a path is.

import { Code, KilnError } from "../base/errors.js";
import type { StatPathResponse } from "../gen/kiln/agent/v1/agent_pb.js";
import { fromAgent } from "./agent-errors.js";
import { runningSession } from "./vm-access.js";
import type { VmEntry } from "./vm-entry.js";

const CALL_MS = 30_000;

/**
 * A path of the VM as a tar stream whose names begin with the path's base name.
 *
 * @throws KilnError not_found `guest-not-found`, failed_precondition `vm-<state>`
 */
export async function* readArchive(
  entry: VmEntry,
  path: string,
  followLink: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  requirePath(path);
  const session = await runningSession(entry, "copy from", signal);
  try {
    const options = signal === undefined ? {} : { signal };
    for await (const { data } of session.client.readArchive({ path, followLink }, options)) yield data;
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `copy ${path} from VM ${entry.name}`);
  }
}

export interface WriteArchiveTarget {
  /** Must exist. */
  readonly directory: string;
  /** false: root:root. */
  readonly keepOwner: boolean;
}

/**
 * Unpacks a tar stream below a directory of the VM: directories merge, files are replaced, neither takes the other's
 * place.
 */
export async function writeArchive(
  entry: VmEntry,
  target: WriteArchiveTarget,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<{ entries: bigint; bytes: bigint }> {
  requirePath(target.directory);
  const session = await runningSession(entry, "copy to", signal);
  try {
    const { directory, keepOwner } = target;
    // As docker cp: no directory is thrown away for a file, and no file for a directory.
    const start = { directory, keepOwner, noOverwriteDirNonDir: true };
    const options = signal === undefined ? {} : { signal };
    return await session.client.writeArchive(
      (async function* () {
        yield { message: { case: "start" as const, value: start } };
        for await (const data of tar) yield { message: { case: "data" as const, value: data } };
      })(),
      options,
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `copy to ${target.directory} of VM ${entry.name}`);
  }
}

export async function statPath(
  entry: VmEntry,
  path: string,
  signal: AbortSignal | undefined,
): Promise<StatPathResponse> {
  requirePath(path);
  const session = await runningSession(entry, "look into", signal);
  try {
    return await session.client.statPath(
      { path },
      { timeoutMs: CALL_MS, ...(signal === undefined ? {} : { signal }) },
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `look at ${path} in VM ${entry.name}`);
  }
}

function requirePath(path: string): void {
  if (path !== "" && !path.includes("\0")) return;
  throw new KilnError(Code.InvalidArgument, "a path is missing or holds a NUL byte", { reason: "bad-path" });
}
