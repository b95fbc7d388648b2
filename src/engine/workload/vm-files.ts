// Files in and out of a VM, as tar streams, and what a path is. What goes into a VM that does not run waits for its start.

import type { PathStat } from "../../agent/index.js";
import { defined } from "../../base/defined.js";
import { Code, KilnError } from "../../base/errors.js";
import { UndoStack } from "../../base/undo.js";
import { requireDisk } from "../host/host.js";
import type { EngineContext } from "../run/context.js";
import { type CopyOrder, pendingCopies } from "../run/pending-copies.js";
import { unpackCopy, type Written } from "../run/unpack-copy.js";
import { runningSession } from "../run/vm-access.js";
import type { VmEntry } from "../vm/entry.js";
import { isEnded } from "../vm/state.js";

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
    yield* session.files.readArchive(path, followLink, options);
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `copy ${path} from VM ${entry.name}`);
  }
}

/** What became of an archive. */
export interface WriteOutcome extends Written {
  /** It waits for the VM's next start. */
  readonly pending: boolean;
}

/**
 * Unpacks a tar stream in the VM: directories merge, files are replaced, neither takes the other's place. Where the VM
 * does not run the stream is kept for its next start.
 *
 * @throws KilnError failed_precondition `vm-<state>`, resource_exhausted `too-many-copies`, `host-disk-full`
 */
export async function writeArchive(
  ctx: EngineContext,
  entry: VmEntry,
  order: CopyOrder,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<WriteOutcome> {
  requirePath(order.directory);
  requireName(order);
  if (waitsForStart(entry)) return keepForStart(ctx, entry, order, tar, signal);
  const session = await runningSession(entry, "copy to", signal);
  try {
    return { ...(await unpackCopy(session, order, tar, { signal })), pending: false };
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `copy to ${order.directory} of VM ${entry.name}`);
  }
}

/** True of a VM that does not run and may be started again. */
function waitsForStart({ state, removing, record }: VmEntry): boolean {
  return !removing && (state === "created" || (isEnded(state) && !record.config.autoRemove));
}

/** The archive is taken in first, however long that takes; the VM may be started or removed meanwhile. */
async function keepForStart(
  ctx: EngineContext,
  entry: VmEntry,
  order: CopyOrder,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<WriteOutcome> {
  const what = `copy to VM ${entry.name}`;
  entry.requireRecord("copy to");
  if (!order.directory.startsWith("/")) throw badPath(`${what}: "${order.directory}" is no absolute path`);
  const { host, settings, dataRoot } = ctx;
  const pending = pendingCopies(ctx, entry);
  await using undo = new UndoStack();
  try {
    const received = await pending.receive(tar, (bytes) =>
      requireDisk(host, what, dataRoot, bytes, settings.diskReserveBytes),
    );
    undo.push("drop what came in", () => pending.drop(received));
    await ctx.lock.run(entry.id, async () => {
      signal?.throwIfAborted();
      entry.requireHere();
      if (!waitsForStart(entry)) throw startedMeanwhile(entry);
      await pending.add(received, order);
    });
    undo.commit();
    return { entries: 0n, bytes: BigInt(received.bytes), pending: true };
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, what);
  }
}

function startedMeanwhile({ name, state }: VmEntry): KilnError {
  const message = `cannot copy to VM ${name}: it was started while the files came in`;
  return new KilnError(Code.FailedPrecondition, message, {
    reason: `vm-${state}`,
    hint: "copy them again",
    details: { state },
  });
}

export async function statPath(
  entry: VmEntry,
  path: string,
  signal: AbortSignal | undefined,
): Promise<PathStat> {
  requirePath(path);
  const session = await runningSession(entry, "look into", signal);
  try {
    return await session.files.stat(path, defined({ timeoutMs: CALL_MS, signal }));
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `look at ${path} in VM ${entry.name}`);
  }
}

function requirePath(path: string): void {
  if (path !== "" && !path.includes("\0")) return;
  throw badPath("a path is missing or holds a NUL byte");
}

/** It becomes a part of the names in the archive. */
function requireName({ copy }: CopyOrder): void {
  if (copy === undefined || (copy.name === "" && copy.contents)) return;
  const { name } = copy;
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name) || Buffer.byteLength(name) > 255) {
    throw badPath(`${JSON.stringify(name.slice(0, 255))} is no name for a copy`);
  }
}

function badPath(message: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason: "bad-path" });
}
