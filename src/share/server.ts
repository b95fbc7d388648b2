// One kiln-share process: started with its descriptors, in a session of its own so that it outlives kilnd.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { keepText } from "../base/kept-text.js";
import type { RunAs } from "../base/privileges.js";
import { identifyProcess, type ProcessId } from "../base/processes.js";
import { isSame, type SourceIdentity } from "./identity.js";
import { isRoots, whyNotOwnRoot } from "./own-root.js";
import { planServer } from "./plan.js";
import { openSource } from "./source.js";
import type { ShareConnection, ShareSpec } from "./types.js";

/** What sysexits.h calls EX_CONFIG: it can't be confined or served here, and will not be a moment later. */
const CANNOT_SERVE = 78;

export interface RunningServer {
  readonly id: ProcessId;
  /** What it serves. */
  readonly source: SourceIdentity;
  /** Resolves with why, once it has ended. `forGood`: another one would end alike. */
  readonly ended: Promise<{ readonly why: string; readonly forGood: boolean }>;
  /**
   * Lets it begin: until then it waits, and ends where we do. So none serves that no record names and no limit holds.
   */
  go(): void;
  /** Lets go of its pipes; it goes on. */
  release(): void;
}

/**
 * Starts a server for a share.
 *
 * @param program kiln-share's path
 * @param same what the VM's earlier servers have served; undefined for the first one
 * @throws KilnError `openSource`'s; failed_precondition `share-source-replaced`; unavailable `share-failed`
 */
export async function startServer(
  program: string,
  spec: ShareSpec,
  connection: ShareConnection,
  same?: SourceIdentity,
): Promise<RunningServer> {
  await using source = await openSource(spec);
  if (same !== undefined && !isSame(source.identity, same)) throw replaced(spec);
  await using ledger = await openLedger(connection.runDirectory, spec.id);
  await using end = await connection.guestEnd();
  const { environment, as: nobody } = connection;
  const isOwn = nobody !== undefined && isRoots(spec, source);
  const ownRoot = isOwn && (await whyNotOwnRoot(program, source, nobody)) === undefined;
  const as = whom(spec, source.stats, nobody);
  const request = { program, spec, file: source.file, end: end.kind, as, ownRoot, environment };
  const { argv, env } = planServer(request);
  const [file = "", ...args] = argv;
  const child = spawn(file, args, {
    cwd: "/",
    detached: true,
    env: { ...env },
    stdio: ["pipe", "ignore", "pipe", source.fd, ledger.fd, end.fd],
  });
  return await begun(child, spec, source.identity);
}

/** A root daemon's server is the owner of what it shares; where that is root, nobody, and shown root's files as his at most. */
function whom({ map }: ShareSpec, { uid, gid }: Stats, nobody: RunAs | undefined): RunAs | undefined {
  if (nobody === undefined || map.kind === "range") return undefined;
  return uid === 0 ? nobody : { uid, gid: gid || nobody.gid };
}

/**
 * What a server notes there outlives it, for the next one; it need not outlive the host. A name in a directory that only
 * kilnd writes.
 */
async function openLedger(runDirectory: string, id: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  return await open(join(runDirectory, `share-${id}.ledger`), flags, 0o600);
}

async function begun(child: ChildProcess, spec: ShareSpec, source: SourceIdentity): Promise<RunningServer> {
  const words = keepText(child.stderr);
  const exit = new Promise<{ why: string; forGood: boolean }>((resolve) => {
    child.once("error", (error) => resolve({ why: error.message, forGood: false }));
    child.once("close", (code, signal) => {
      const how = signal === null ? `it exited with ${code}` : `${signal} ended it`;
      resolve({ why: words().trim() || how, forGood: code === CANNOT_SERVE });
    });
  });
  // Before "spawn" it has no pid; where there is none to come, "error" says why.
  await Promise.race([once(child, "spawn").catch(() => undefined), exit]);
  const id = child.pid === undefined ? undefined : await identifyProcess(child.pid);
  if (id === undefined) throw shareFailed(spec, (await exit).why);
  const { stdin, stderr } = child;
  // It may have ended meanwhile, which is told elsewhere.
  stdin?.on("error", () => undefined);
  child.unref();
  return {
    id,
    source,
    ended: exit,
    go: () => stdin?.end("\n"),
    release: () => {
      stdin?.destroy();
      stderr?.destroy();
    },
  };
}

/** What the guest has open is in the other one: with this one its files would become others under its hands. */
function replaced({ source }: ShareSpec): KilnError {
  const why = "another one lies there now than the one that the VM was started with";
  return new KilnError(Code.FailedPrecondition, `share ${source}: ${why}`, {
    reason: "share-source-replaced",
    hint: "put that one back; or stop the VM and start it, which gives it what lies there",
  });
}

function shareFailed(spec: ShareSpec, why: string, cause?: unknown): KilnError {
  return new KilnError(Code.Unavailable, `share ${spec.source}: kiln-share: ${why}`, {
    reason: "share-failed",
    hint: "`kiln doctor` looks at what it needs of this host",
    cause,
  });
}
