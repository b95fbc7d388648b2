// Where the compilers run: as a user without privileges, without a network, in process and mount namespaces of their
// own, which die with kilnd. Debian's sources are trusted, yet a build script that goes astray reaches nothing but its
// own directory.

import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import type { Abortable } from "../../base/progress.js";
import { runProgram } from "../program.js";

/** How this host can fence a build. */
export interface Sandbox {
  /** Words in front of every command of the build. */
  readonly words: readonly string[];
  /** The user of the build, where that is not kilnd's own. */
  readonly user: BuildUser | undefined;
  /** False where namespaces are forbidden here: the build then sees the network. */
  readonly fenced: boolean;
}

export interface BuildUser {
  readonly uid: number;
  readonly gid: number;
}

/** Nobody else's: beside the range that VMMs run as (engine/host/ownership.ts), given out by neither Debian nor systemd. */
export const BUILD_USER: BuildUser = { uid: 1_899_999_998, gid: 1_899_999_998 };

/** The user of builds, where kilnd is root. @param uid kilnd's own */
export function buildUser(uid: number = process.getuid?.() ?? 0): BuildUser | undefined {
  return uid === 0 ? BUILD_USER : undefined;
}

/**
 * @param uid kilnd's own
 * @param fenced with namespaces
 */
export function planSandbox(uid: number, fenced: boolean): Sandbox {
  const user = buildUser(uid);
  const drop = user === undefined ? [] : ["--bounding-set=-all", "--inh-caps=-all", "--clear-groups"];
  const become = user === undefined ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`];
  const words = [
    ...(fenced ? fence(user === undefined) : []),
    ...["setpriv", "--no-new-privs", ...drop, ...become],
    // After the change of user, which clears it. Inside the fence it is the fence that dies with kilnd.
    ...(fenced ? [] : ["--pdeathsig=KILL"]),
    "--",
    // VMs that run beside the build go first.
    ...["nice", "-n", "10"],
  ];
  return { words, user, fenced };
}

/** setpriv dies with kilnd, unshare is what it becomes, and all that is in the namespaces dies with unshare. */
function fence(rootless: boolean): string[] {
  return [
    ...["setpriv", "--pdeathsig=KILL", "--", "unshare"],
    ...(rootless ? ["--user", "--map-current-user"] : []),
    ...["--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"],
  ];
}

/**
 * The strongest sandbox that works in this directory.
 *
 * @param directory the build's own, which its user must be able to write
 * @throws KilnError failed_precondition `build-sandbox` where not even the user can be dropped
 */
export async function chooseSandbox(directory: string, options: Abortable = {}): Promise<Sandbox> {
  const uid = process.getuid?.() ?? 0;
  const failures: unknown[] = [];
  for (const fenced of [true, false]) {
    const sandbox = planSandbox(uid, fenced);
    try {
      await tryOut(sandbox, directory, options);
      return sandbox;
    } catch (error) {
      options.signal?.throwIfAborted();
      failures.push(error);
    }
  }
  const cause = KilnError.from(failures.at(-1));
  const user = buildUser(uid);
  const closed = user === undefined ? undefined : await closedTo(user, directory);
  if (user !== undefined && closed !== undefined) throw cannotPass(directory, closed, user, cause);
  throw new KilnError(
    Code.FailedPrecondition,
    `no unprivileged build can run in ${directory}: ${cause.message}`,
    {
      reason: "build-sandbox",
      hint: "the directory must be one that other users can reach, on a file system that is not read-only",
      cause,
    },
  );
}

/**
 * The first directory on the way that a user can't pass through; undefined where all let it through.
 *
 * @param path absolute
 */
export async function closedTo({ uid, gid }: BuildUser, path: string): Promise<string | undefined> {
  let at = "/";
  for (const name of ["", ...(await realpath(path)).split("/").filter((part) => part !== "")]) {
    at = join(at, name);
    const { mode, uid: owner, gid: group } = await stat(at);
    const passes = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001;
    if ((mode & passes) === 0) return at;
  }
  return undefined;
}

function cannotPass(directory: string, closed: string, { uid }: BuildUser, cause: KilnError): KilnError {
  const what = `build a kernel in ${directory}: user ${uid}, as whom compilers run, can't pass through ${closed}`;
  return new KilnError(Code.FailedPrecondition, what, {
    reason: "build-sandbox",
    hint: `chmod o+x ${closed}, or let kilnd have a KILN_ROOT that other users can pass through`,
    cause,
  });
}

async function tryOut(sandbox: Sandbox, directory: string, { signal }: Abortable): Promise<void> {
  const [program = "", ...args] = [...sandbox.words, "test", "-w", directory];
  await runProgram(program, args, { signal, cwd: "/", install: "install util-linux" });
}
