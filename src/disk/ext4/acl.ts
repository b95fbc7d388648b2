// POSIX ACLs: from the form of the system call (acl(5), xattr version 2, as tars carry it) to ext4's own compact one.

import { Code, KilnError } from "../../base/errors.js";

const SYSCALL_VERSION = 2;
const DISK_VERSION = 1;
const SYSCALL_HEADER = 4;
const SYSCALL_ENTRY = 8;

const Tag = { UserObj: 0x01, User: 0x02, GroupObj: 0x04, Group: 0x08, Mask: 0x10, Other: 0x20 } as const;

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

/** An ACL as ext4 keeps it. */
export interface DiskAcl {
  readonly value: Buffer;
  /** The permission bits alone say the same: as an access ACL it is not stored. */
  readonly minimal: boolean;
  /** The nine permission bits that an access ACL implies: setting one changes the mode, as chmod does. */
  readonly permissions: number;
}

/**
 * @param value the attribute as getxattr(2) gives it; an empty ACL means none, hence undefined
 * @param what names attribute and file in the error
 * @throws KilnError invalid_argument `bad-acl` for what setxattr(2) refuses with EINVAL
 */
export function encodeAcl(value: Uint8Array, what: string): DiskAcl | undefined {
  const entries = parseAcl(value, what);
  if (entries.length === 0) return undefined;
  checkOrder(entries, what);
  const permissionsOf = (tag: number) => entries.find((entry) => entry.tag === tag)?.permissions;
  const group = permissionsOf(Tag.Mask) ?? permissionsOf(Tag.GroupObj) ?? 0;
  return {
    value: encodeEntries(entries),
    minimal: entries.length === 3,
    permissions: ((permissionsOf(Tag.UserObj) ?? 0) << 6) | (group << 3) | (permissionsOf(Tag.Other) ?? 0),
  };
}

function parseAcl(value: Uint8Array, what: string): AclEntry[] {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const count = (value.length - SYSCALL_HEADER) / SYSCALL_ENTRY;
  if (value.length < SYSCALL_HEADER || !Number.isInteger(count)) throw badAcl(what, "its length is wrong");
  if (view.getUint32(0, true) !== SYSCALL_VERSION) throw badAcl(what, "its version is not 2");
  return Array.from({ length: count }, (_, index) => {
    const at = SYSCALL_HEADER + index * SYSCALL_ENTRY;
    const permissions = view.getUint16(at + 2, true);
    if (permissions > 7) throw badAcl(what, "it has unknown permissions");
    return { tag: view.getUint16(at, true), permissions, id: view.getUint32(at + 4, true) };
  });
}

/** Exactly one owner, group and other, in ascending order of tags, and a mask where anybody is named. */
function checkOrder(entries: readonly AclEntry[], what: string): void {
  let before = 0;
  for (const { tag } of entries) {
    const repeats = tag === before && (tag === Tag.User || tag === Tag.Group);
    if (tag < before || (tag === before && !repeats)) throw badAcl(what, "its entries are out of order");
    if (!isTag(tag)) throw badAcl(what, "it has an unknown tag");
    before = tag;
  }
  const has = (tag: number) => entries.some((entry) => entry.tag === tag);
  if (!has(Tag.UserObj) || !has(Tag.GroupObj) || !has(Tag.Other)) {
    throw badAcl(what, "owner, group or other is missing");
  }
  if ((has(Tag.User) || has(Tag.Group)) && !has(Tag.Mask)) throw badAcl(what, "it has no mask");
}

function isTag(tag: number): boolean {
  return (Object.values(Tag) as number[]).includes(tag);
}

function encodeEntries(entries: readonly AclEntry[]): Buffer {
  const named = (entry: AclEntry) => entry.tag === Tag.User || entry.tag === Tag.Group;
  const length = entries.reduce((sum, entry) => sum + (named(entry) ? 8 : 4), 4);
  const value = Buffer.alloc(length);
  value.writeUInt32LE(DISK_VERSION, 0);
  let at = 4;
  for (const entry of entries) {
    value.writeUInt16LE(entry.tag, at);
    value.writeUInt16LE(entry.permissions, at + 2);
    if (named(entry)) value.writeUInt32LE(entry.id, at + 4);
    at += named(entry) ? 8 : 4;
  }
  return value;
}

function badAcl(what: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `${what} is not an ACL: ${why}`, {
    reason: "bad-acl",
    hint: "the image or directory it comes from is damaged",
  });
}
