// Paths that a neighbour on this host could have planted or could change. A path is trusted where every component, the
// targets of links included, belongs to root or to us and can be replaced by nobody else. agent/front/src/trust.rs is
// the same for the native part of the client; test/contract/front-trust.test.ts holds both to one table.

import type { Stats } from "node:fs";
import { chmod, lstat, readFile, readlink, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Code, errnoOf, KilnError } from "./errors.js";
import { makeMissing } from "./files.js";

/** As the kernel's own limit (path_resolution(7)). */
const MOST_LINKS = 40;
const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/** Who asks. */
export interface Self {
  readonly uid: number;
  readonly gid: number;
  /** The number that users outside this user namespace have here; asked of the kernel where it is not given. */
  readonly outside?: number;
}

function thisUser(): Self {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

/** The facts of lstat(2) that trust hangs on. */
export type Facts = Pick<Stats, "uid" | "gid" | "mode"> & { readonly kind: "directory" | "link" | "other" };

/** Why a component can't be relied on; undefined where it can. Pure. */
export function faultOf(facts: Facts, self: Self): string | undefined {
  const { uid, mode } = facts;
  if (uid !== 0 && uid !== self.uid) return `it belongs to user ${uid}`;
  // What is written to a link or a socket changes nothing of it.
  if (facts.kind === "link" || (mode & 0o170000) === 0o140000) return undefined;
  // Nobody but its owner renames or removes what lies in a sticky directory, and owners are looked at one by one.
  if (facts.kind === "directory" && (mode & STICKY) !== 0) return undefined;
  const writers = mode & OTHERS_WRITE & (isOwnGroup(facts, self) ? 0o002 : OTHERS_WRITE);
  if (writers === 0) return undefined;
  return (writers & 0o002) !== 0 ? "every user may change it" : `group ${facts.gid} may change it`;
}

/** A group of the user's own, which goes with a umask of 002 on many distributions: it has the user's number. */
function isOwnGroup(facts: Facts, self: Self): boolean {
  return self.uid !== 0 && facts.gid === self.gid && self.gid === self.uid;
}

/**
 * Follows a path as the kernel would and judges each component.
 *
 * @returns false where something of it is not there (the rest is trusted)
 * @throws KilnError permission_denied `unsafe-path`; a Node system error where the way can't be looked at
 */
export async function requireTrusted(path: string, self: Self = thisUser()): Promise<boolean> {
  let at = "";
  let links = 0;
  const pending = (path.startsWith("/") ? path : `${process.cwd()}/${path}`).split("/");
  await judge("/", path, self);
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      at = at === "" ? "" : dirname(at).replace(/^\/$/, "");
      continue;
    }
    const here = `${at}/${name}`;
    const found = await judge(here, path, self);
    if (found === undefined) return false;
    if (!found.isSymbolicLink()) {
      at = here;
      continue;
    }
    if (++links > MOST_LINKS) throw unsafe(path, here, "it is a link in a circle", found);
    const target = await readlink(here);
    if (target.startsWith("/")) at = "";
    pending.unshift(...target.split("/"));
  }
  return true;
}

/**
 * The number by which a user namespace shows everybody whom it does not know, the host's root and its neighbours alike;
 * undefined where that number is a user of its own, as in the host's first namespace. Pure.
 *
 * @param overflow text of /proc/sys/kernel/overflowuid
 * @param map text of /proc/self/uid_map: first number inside, first outside, how many
 */
export function outsideUser(overflow: string, map: string): number | undefined {
  const number = Number.parseInt(overflow, 10);
  const ranges = map.split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  const isKnown = ranges.some(([first = 0, , count = 0]) => number >= first && number < first + count);
  return isKnown || Number.isNaN(number) ? undefined : number;
}

async function readOutsideUser(): Promise<number | undefined> {
  const read = (path: string) => readFile(path, "utf8").catch(() => "");
  return outsideUser(await read("/proc/sys/kernel/overflowuid"), await read("/proc/self/uid_map"));
}

/**
 * Whose a component is. Somebody from outside the user namespace is taken for root where only the owner of the directory
 * above can have put it there: not in a sticky one, where a neighbour of the host's would look the same.
 */
async function ownerOf(component: string, { uid }: Stats, self: Self): Promise<number> {
  if (uid === 0 || uid === self.uid || uid !== (self.outside ?? (await readOutsideUser()))) return uid;
  const above = await lstat(dirname(component));
  return (above.mode & OTHERS_WRITE) === 0 ? 0 : uid;
}

/** Undefined where it is not there. */
async function judge(component: string, path: string, self: Self): Promise<Stats | undefined> {
  let found: Stats;
  try {
    found = await lstat(component);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const kind = found.isSymbolicLink() ? "link" : found.isDirectory() ? "directory" : "other";
  const uid = await ownerOf(component, found, self);
  const why = faultOf({ uid, gid: found.gid, mode: found.mode, kind }, self);
  if (why !== undefined) throw unsafe(path, component, why, found);
  return found;
}

/**
 * A directory of ours on a trusted way. What is missing of it is made: for us alone, and for root so that the users of
 * VMs pass through it without seeing what is in it. What is there already stays as it is.
 *
 * @throws KilnError permission_denied `unsafe-path`; what the system says where it can't be made
 */
export async function makeTrustedDirectory(path: string, self: Self = thisUser()): Promise<string> {
  const mode = self.uid === 0 ? 0o711 : 0o700;
  try {
    if (await requireTrusted(path, self)) {
      if ((await stat(path)).isDirectory()) return path;
      throw new KilnError(Code.FailedPrecondition, "it is no directory", { reason: "not-a-directory" });
    }
    const made = await makeMissing(path, mode);
    // Somebody may have been faster, in a directory that everybody may write.
    await requireTrusted(path, self);
    // A umask of 077 would close them.
    for (const directory of made) await chmod(directory, mode);
  } catch (error) {
    if (error instanceof KilnError && error.reason === "unsafe-path") throw error;
    throw cannotMake(path, error);
  }
  return path;
}

/**
 * A root of kiln's, KILN_ROOT say, is no directory that everybody uses: not /tmp, sticky as it is.
 *
 * @throws KilnError permission_denied `unsafe-path`
 */
export async function refuseSharedRoot(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || (found.mode & 0o002) === 0) return;
  throw unsafe(path, path, "every user may change it", found);
}

function cannotMake(path: string, cause: unknown): KilnError {
  const { code, reason, message } = KilnError.from(cause, `make the directory ${path}`);
  return new KilnError(code, message, {
    reason,
    hint: "kiln needs a place where it may make directories: choose another with KILN_ROOT, XDG_RUNTIME_DIR or --data-root",
    cause,
  });
}

function unsafe(path: string, component: string, why: string, { uid, mode }: Stats): KilnError {
  const bits = (mode & 0o7777).toString(8).padStart(4, "0");
  const below = component === path ? "" : `, on the way to ${path}`;
  return new KilnError(
    Code.PermissionDenied,
    `${component} can't be trusted: ${why} (owner ${uid}, mode ${bits})${below}`,
    {
      reason: "unsafe-path",
      hint: "kiln takes only what root or you alone can change: see who made it and use `chmod go-w`, or choose another place with KILN_ROOT, XDG_RUNTIME_DIR or --host",
      details: { path, component, owner: String(uid), mode: bits },
    },
  );
}
