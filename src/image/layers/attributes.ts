// An entry's metadata as an inode's attributes: what chown, chmod, setxattr and utimens as root would leave behind.

import type { InodeAttributes } from "../../base/tree.js";
import { ACL_ACCESS, ACL_DEFAULT, isAclSet, modeOfAcl } from "./acl.js";
import type { TarEntry } from "./tar-entry.js";

const SYMLINK_MODE = 0o777;

/** Attributes of the builder's host and not of the image: no runtime restores them. */
const HOST_ONLY: ReadonlySet<string> = new Set(["security.selinux", "system.nfs4_acl"]);

/**
 * What of an entry's extended attributes Linux would keep is kept: user.* on files and directories only; trusted.* and
 * security.* everywhere; access control lists where they can be, default ones on directories only. Others are left
 * out, as umoci and containerd leave out what setxattr refuses.
 *
 * @throws KilnError invalid_argument `bad-acl`
 */
export function attributesOf(entry: TarEntry): InodeAttributes {
  const { uid, gid, mtimeNs } = entry;
  const isSymlink = entry.type === "symlink";
  let mode = isSymlink ? SYMLINK_MODE : entry.mode;
  if (entry.xattrs === undefined) return { mode, uid, gid, mtimeNs };
  const xattrs = new Map<string, Uint8Array>();
  for (const [name, value] of entry.xattrs) {
    if (!isKept(entry, name)) continue;
    if (name === ACL_ACCESS) {
      const acl = modeOfAcl(value, mode, entry.offset);
      if (acl !== undefined) mode = acl.mode;
      if (acl?.isExtended !== true) continue;
    }
    if (name === ACL_DEFAULT && !isAclSet(value, entry.offset)) continue;
    xattrs.set(name, value);
  }
  return { mode, uid, gid, mtimeNs, ...(xattrs.size === 0 ? {} : { xattrs }) };
}

function isKept(entry: TarEntry, name: string): boolean {
  if (HOST_ONLY.has(name)) return false;
  if (name === ACL_ACCESS) return entry.type !== "symlink";
  if (name === ACL_DEFAULT) return entry.type === "directory";
  const namespace = name.slice(0, name.indexOf(".") + 1);
  if (name.length === namespace.length) return false;
  if (namespace === "user.") return entry.type === "file" || entry.type === "directory";
  return namespace === "trusted." || namespace === "security.";
}
