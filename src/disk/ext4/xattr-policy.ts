// Which extended attributes an ext4 inode may have, and in what form: the rules that lsetxattr(2) applies on a real
// ext4. What it refuses as unsupported is left out with a warning, as containerd does when it unpacks a layer.

import { Code, KilnError } from "../../base/errors.js";
import type { Inode } from "../../base/tree.js";
import { encodeAcl } from "./acl.js";

/** An attribute as it goes to the disk: the prefix became a number. */
export interface DiskXattr {
  readonly prefix: number;
  /** Without its prefix, one char per byte. */
  readonly name: string;
  readonly value: Uint8Array;
}

export interface InodeXattrs {
  /** In the order the kernel searches a block: by prefix, then length of the name, then name. */
  readonly list: readonly DiskXattr[];
  /** Permission bits, where an access ACL decides them. */
  readonly permissions: number | undefined;
}

/** e_name_index. POSIX ACLs have indexes and no name of their own. */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];
const ACCESS_ACL = "system.posix_acl_access";
const DEFAULT_ACL = "system.posix_acl_default";
const ACCESS_ACL_INDEX = 2;
const DEFAULT_ACL_INDEX = 3;
const MAX_NAME = 255;

const NONE: InodeXattrs = { list: [], permissions: undefined };

/**
 * @param where names the inode in errors and warnings
 * @param onSkipped told of each attribute that a real ext4 would not take
 * @throws KilnError invalid_argument `bad-acl`, `bad-xattr`
 */
export function planXattrs(
  inode: Inode,
  where: () => string,
  onSkipped: (warning: string) => void,
): InodeXattrs {
  if (inode.xattrs === undefined || inode.xattrs.size === 0) return NONE;
  const list: DiskXattr[] = [];
  let permissions: number | undefined;
  for (const [fullName, value] of inode.xattrs) {
    if (!mayHave(inode, fullName)) {
      onSkipped(`${where()}: a ${inode.type} can't have the attribute ${printable(fullName)}`);
    } else if (fullName === ACCESS_ACL || fullName === DEFAULT_ACL) {
      const access = fullName === ACCESS_ACL;
      const acl = encodeAcl(value, `${fullName} of ${where()}`);
      if (access) permissions = acl?.permissions;
      if (acl === undefined || (access && acl.minimal)) continue;
      list.push({ prefix: access ? ACCESS_ACL_INDEX : DEFAULT_ACL_INDEX, name: "", value: acl.value });
    } else list.push(named(fullName, value, where));
  }
  return { list: list.sort(compareXattrs), permissions };
}

function mayHave(inode: Inode, name: string): boolean {
  if (name === ACCESS_ACL) return inode.type !== "symlink";
  if (name === DEFAULT_ACL) return inode.type === "directory";
  if (name.startsWith("user.")) return inode.type === "file" || inode.type === "directory";
  return PREFIXES.some(([prefix]) => name.startsWith(prefix));
}

function named(fullName: string, value: Uint8Array, where: () => string): DiskXattr {
  const [prefix, index] = PREFIXES.find(([known]) => fullName.startsWith(known)) ?? ["", 0];
  const name = fullName.slice(prefix.length);
  if (name.length === 0 || fullName.length > MAX_NAME || /[\0\u0100-\uffff]/.test(name)) {
    throw new KilnError(Code.InvalidArgument, `${where()}: bad attribute name ${printable(fullName)}`, {
      reason: "bad-xattr",
      hint: "names have up to 255 bytes, none of them NUL, and more than their prefix",
    });
  }
  return { prefix: index, name, value };
}

function compareXattrs(a: DiskXattr, b: DiskXattr): number {
  return (
    a.prefix - b.prefix || a.name.length - b.name.length || (a.name < b.name ? -1 : Number(a.name > b.name))
  );
}

/** Names come from images: keep control characters and endless ones out of messages. */
function printable(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
}
