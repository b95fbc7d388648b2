// Who owns what, where kilnd is root: each VMM runs as a user of its own with a group of its own, and is handed the
// files that it reads and writes: it has no way to any by name. Where kilnd is an ordinary user everything is that user's and nothing is done here.

import { chmod, chown, lchown, lstat } from "node:fs/promises";
import { dirname } from "node:path";
import { isHelperUid } from "../../net/index.js";
import type { UserRange, UserRegistry } from "./user-registry.js";

/** What the VMM of one VM runs as. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** Whose a VM's files and processes are: a user of its own each (root's kilnd), or all kilnd's (OWN_USER). */
export interface Ownership {
  /** A user for a new VM that no other VM of this host has; undefined where kilnd is no root. */
  allocate(vm: string): Promise<number | undefined>;
  /** The user that a VM has: `uid`, or a new one where that is another's. */
  hold(vm: string, uid: number): Promise<number>;
  release(vm: string, uid: number | undefined): Promise<void>;
  /** Forgets users that no VM of this root has any more. */
  tidy(users: ReadonlyMap<string, number>): Promise<void>;
  runAs(uid: number | undefined): RunAs | undefined;
  /** True for the users that processes of ours run as. */
  owns(uid: number): boolean;
  /** A directory that builds of kernels, which have a user of their own, pass through but can't list. */
  openPassage(path: string): Promise<void>;
  /** A directory that only kilnd enters. Earlier releases let VMMs pass through. */
  shut(path: string): Promise<void>;
  /** A file that VMMs read once they are handed it, and nobody writes: bases, disks of modules. */
  shareReadOnly(path: string): Promise<void>;
  /** A file that VMMs come and go with: one that writes, or any number that read. */
  lend(path: string, uid: number | undefined, how: { readonly readOnly: boolean }): Promise<void>;
  /** A file or directory that one VM's VMM writes. */
  give(path: string, uid: number | undefined): Promise<void>;
}

/** Everything belongs to kilnd's own user. */
export const OWN_USER: Ownership = {
  allocate: async () => undefined,
  hold: async (_vm, uid) => uid,
  release: async () => undefined,
  tidy: async () => undefined,
  runAs: () => undefined,
  owns: (uid) => uid === process.getuid?.(),
  openPassage: async () => undefined,
  shut: async () => undefined,
  shareReadOnly: (path) => chmod(path, 0o400),
  lend: (path) => chmod(path, 0o600),
  give: async () => undefined,
};

/**
 * Ids that neither Debian (policy 9.2.2) nor systemd (docs/UIDS-GIDS.md) hands out: between systemd's container
 * range and 2^31.
 */
export const DEFAULT_USER_RANGE: UserRange = { firstUid: 1_900_000_000, count: 65_536 };

/** Root's way: a user for each VM, by this host's registry. */
export function createUserPerVm(registry: UserRegistry, range: UserRange = DEFAULT_USER_RANGE): Ownership {
  return {
    allocate: (vm) => registry.allocate(vm),
    hold: (vm, uid) => registry.hold(vm, uid),
    release: async (vm, uid) => {
      if (uid !== undefined) await registry.release(vm, uid);
    },
    tidy: (users) => registry.tidy(users),
    owns: (uid) =>
      uid === process.getuid?.() ||
      (uid >= range.firstUid && uid < range.firstUid + range.count) ||
      isHelperUid(uid),
    runAs: (uid) => (uid === undefined ? undefined : { uid, gid: uid }),
    // chmod and not mkdir's mode: a umask of 077 would close it.
    openPassage: (path) => chmod(path, 0o711),
    shut: (path) => chmod(path, 0o700),
    // For all, in a directory that is root's alone: no group is there whose members would read every VM's.
    shareReadOnly: async (path) => {
      await chown(path, 0, 0);
      await chmod(path, 0o444);
    },
    lend: async (path, uid, { readOnly }) => {
      const owner = readOnly || uid === undefined ? 0 : uid;
      await lchown(path, owner, owner);
      await chmod(path, readOnly ? 0o444 : 0o600);
    },
    give: async (path, uid) => {
      if (uid !== undefined) await lchown(path, uid, uid);
    },
  };
}

/**
 * Directories on the way to `path` that other users may not enter: a VMM with a user of its own can't reach its
 * files through them.
 */
export async function closedParents(path: string): Promise<string[]> {
  const closed: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    const { mode } = await lstat(at);
    if ((mode & 0o001) === 0) closed.push(at);
    if (at === dirname(at)) return closed;
  }
}
