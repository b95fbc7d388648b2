// Unpacks one archive in a guest that can be looked at: where it goes by docker cp's rules, and how it gets there.

import { createReadStream } from "node:fs";
import { isNotFound, isRefusal } from "../../agent/index.js";
import type { AgentSession } from "../../agent/types.js";
import { type CopyPlan, planCopy, renameRoot } from "../../base/copy-plan.js";
import { findTarget } from "../../base/copy-target.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { renameTar } from "../../base/tar-stream.js";
import type { CopyOrder, PendingCopies, PendingCopy } from "./pending-copies.js";

const CALL_MS = 30_000;
/** A guest that takes longer for so many bytes hangs. */
const LEAST_BYTES_A_MS = 1024;

export interface Written {
  readonly entries: bigint;
  readonly bytes: bigint;
}

/** Stands for the source in the names of an archive whose place is found here; its words do not matter. */
const UNPLACED = "/copy";

export interface CallLimits {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

/** @throws KilnError what the agent says (`guest-...`), and what the rules say */
export async function unpackCopy(
  session: AgentSession,
  order: CopyOrder,
  tar: AsyncIterable<Uint8Array>,
  limits: CallLimits,
): Promise<Written> {
  return unpackAt(session, order, await placeOf(session, order, limits.signal), tar, limits);
}

/**
 * Unpacks what has waited, in order, syncs the guest, and forgets it. Killed anywhere it is done again from the first,
 * to the same end: where each goes is written down before it goes there.
 *
 * @param failed told which of them it was that went wrong
 */
export async function unpackPending(
  session: AgentSession,
  pending: PendingCopies,
  copies: readonly PendingCopy[],
  signal: AbortSignal,
  failed: (copy: PendingCopy, error: unknown) => Promise<Error>,
): Promise<void> {
  for (const copy of copies) {
    try {
      await unpackOne(session, pending, copy, signal);
    } catch (error) {
      throw await failed(copy, error);
    }
  }
  await session.machine.sync({ signal, timeoutMs: limitOf(copies) });
  await pending.remove(copies);
}

async function unpackOne(
  session: AgentSession,
  pending: PendingCopies,
  copy: PendingCopy,
  signal: AbortSignal,
): Promise<void> {
  const { record, archive } = copy;
  const plan = record.plan ?? (await placeOf(session, record, signal));
  if (record.copy !== undefined && record.plan === undefined) {
    const { directory, name } = plan;
    await pending.mark(copy, name === undefined ? { directory } : { directory, name });
  }
  const tar = createReadStream(archive);
  tar.on("error", () => undefined); // whoever reads it is told; nobody else need be
  try {
    const limits = { signal, timeoutMs: limitOf([copy]) };
    await unpackAt(session, record, { directory: plan.directory, name: plan.name }, tar, limits);
  } finally {
    tar.destroy();
  }
}

function limitOf(copies: readonly PendingCopy[]): number {
  const bytes = copies.reduce((sum, { record }) => sum + record.bytes, 0);
  return CALL_MS + Math.ceil(bytes / LEAST_BYTES_A_MS);
}

async function placeOf(
  session: AgentSession,
  { directory, copy }: CopyOrder,
  signal: AbortSignal | undefined,
): Promise<CopyPlan> {
  if (copy === undefined) return { directory, name: undefined };
  const target = await findTarget(directory, looker(session, signal));
  const { name, isDirectory, contents } = copy;
  // Of the root, which has no name, there are only the contents.
  const path = name === "" ? "/" : contents ? `${name}/.` : name;
  return planCopy({ path, isDirectory }, target);
}

async function unpackAt(
  session: AgentSession,
  { keepOwner, copy }: CopyOrder,
  { directory, name }: CopyPlan,
  tar: AsyncIterable<Uint8Array>,
  { signal, timeoutMs }: CallLimits,
): Promise<Written> {
  const bytes = copy === undefined ? tar : renameTar(tar, renameRoot(UNPLACED, latin1(name)));
  try {
    return await session.files.writeArchive({ directory, keepOwner }, bytes, {
      ...asked(signal),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  } catch (error) {
    throw (await whyNoDirectory(session, directory, error, signal)) ?? error;
  }
}

/** What the agent refuses with where it can't open the directory, and elsewhere too: so that is looked at. */
async function whyNoDirectory(
  session: AgentSession,
  directory: string,
  error: unknown,
  signal: AbortSignal | undefined,
): Promise<KilnError | undefined> {
  if (!isRefusal(error)) return undefined;
  const kind = await findTarget(directory, looker(session, signal)).then(
    (target) => target.kind,
    (why: unknown) => (hasReason(why, "no-such-directory") ? "missing" : undefined),
  );
  if (kind === "missing") {
    return new KilnError(Code.NotFound, `there is no directory ${directory}`, {
      reason: "no-such-directory",
      hint: `make it first, in the VM: mkdir -p ${directory}`,
    });
  }
  if (kind === undefined || kind === "directory") return undefined;
  return new KilnError(Code.FailedPrecondition, `${directory} is not a directory`, {
    reason: "not-a-directory",
  });
}

/** What is at a path of the guest. */
function looker(session: AgentSession, signal: AbortSignal | undefined) {
  const options = { timeoutMs: CALL_MS, ...asked(signal) };
  return async (path: string) => {
    try {
      return await session.files.stat(path, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };
}

const asked = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

/** A name as archives carry it. */
function latin1(name: string | undefined): string | undefined {
  return name === undefined ? undefined : Buffer.from(name).toString("latin1");
}
