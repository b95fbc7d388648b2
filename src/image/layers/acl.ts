// POSIX access control lists in the form of the system.posix_acl_* attributes (linux/posix_acl_xattr.h): a version,
// then entries of tag, permissions and id, little endian. What setxattr(2) does with one is done here.

import { badTar } from "./tar-errors.js";

export const ACL_ACCESS = "system.posix_acl_access";
export const ACL_DEFAULT = "system.posix_acl_default";

const VERSION = 2;
const HEADER = 4;
const ENTRY = 8;
const TAG = { userObj: 1, user: 2, groupObj: 4, group: 8, mask: 0x10, other: 0x20 } as const;

export interface AclMode {
  /** Permission bits as the list has them, setuid, setgid and sticky kept. */
  readonly mode: number;
  /** False where the list says no more than the mode: the kernel drops such a list. */
  readonly isExtended: boolean;
}

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

/**
 * What setting the access list does to the file's mode: its group bits become the mask's.
 *
 * @returns undefined for an empty list, which removes what there is
 * @throws KilnError invalid_argument `bad-acl`
 */
export function modeOfAcl(value: Uint8Array, mode: number, at: number): AclMode | undefined {
  const entries = parseAcl(value, at);
  if (entries.length === 0) return undefined;
  const of = (tag: number) => entries.find((entry) => entry.tag === tag)?.permissions;
  const mask = of(TAG.mask);
  const group = mask ?? of(TAG.groupObj) ?? 0;
  const bits = ((of(TAG.userObj) ?? 0) << 6) | (group << 3) | (of(TAG.other) ?? 0);
  return { mode: (mode & 0o7000) | bits, isExtended: mask !== undefined };
}

/** True for a list that has entries. @throws KilnError invalid_argument `bad-acl` */
export function isAclSet(value: Uint8Array, at: number): boolean {
  return parseAcl(value, at).length > 0;
}

function parseAcl(value: Uint8Array, at: number): AclEntry[] {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const count = (value.length - HEADER) / ENTRY;
  if (!Number.isInteger(count) || count < 0 || view.getUint32(0, true) !== VERSION) {
    throw badAcl(at, "its form is unknown");
  }
  const entries: AclEntry[] = [];
  for (let i = HEADER; i < value.length; i += ENTRY) {
    const permissions = view.getUint16(i + 2, true);
    if (permissions > 7) throw badAcl(at, "a permission has unknown bits");
    entries.push({ tag: view.getUint16(i, true), permissions, id: view.getUint32(i + 4, true) });
  }
  if (entries.length > 0) checkOrder(entries, at);
  return entries;
}

/** posix_acl_valid() of Linux: owner, users, group, groups, mask, others; the mask only, and always, with names. */
function checkOrder(entries: readonly AclEntry[], at: number): void {
  const text = entries.map((entry) => LETTERS.get(entry.tag) ?? "?").join("");
  const names = text.includes("u") || text.includes("g");
  if (!/^Uu*Gg*M?O$/.test(text) || (names && !text.includes("M"))) {
    throw badAcl(at, "its entries are not those of a valid list");
  }
}

const LETTERS: ReadonlyMap<number, string> = new Map([
  [TAG.userObj, "U"],
  [TAG.user, "u"],
  [TAG.groupObj, "G"],
  [TAG.group, "g"],
  [TAG.mask, "M"],
  [TAG.other, "O"],
]);

function badAcl(at: number, problem: string): Error {
  return badTar(at, `the access control list can't be used: ${problem}`, "bad-acl");
}
