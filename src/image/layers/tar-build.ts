// From one header block and the extensions before it (PAX, GNU long names) to a TarEntry.

import type { KilnError } from "../../base/errors.js";
import { type LayerLimits, limitExceeded } from "./limits.js";
import type { TarEntry, TarEntryType } from "./tar-entry.js";
import { badTar, quoteName } from "./tar-errors.js";
import type { TarHeader } from "./tar-header.js";
import type { PaxOverrides } from "./tar-pax.js";

/** What stood before an entry's own header. */
export interface Extensions {
  readonly global: PaxOverrides;
  readonly pax: PaxOverrides;
  /** GNU "L" and "K"; they win over PAX, as in Go's and GNU's readers. */
  readonly longPath: string | undefined;
  readonly longLink: string | undefined;
}

const TYPES: ReadonlyMap<string, TarEntryType> = new Map([
  ["0", "file"],
  ["\0", "file"],
  // Contiguous file: nobody but Masscomp's RTU gave it a meaning of its own.
  ["7", "file"],
  ["S", "file"],
  ["1", "hardlink"],
  ["2", "symlink"],
  ["3", "char"],
  ["4", "block"],
  ["5", "directory"],
  ["6", "fifo"],
]);

const MAX_ID = 0xffff_fffe;
// Linux: 12 bits of major, 20 bits of minor (makedev(3)).
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xf_ffff;

/**
 * The type of a member, or undefined for a flag that no reader of layers knows.
 *
 * @param path an old tar marks directories by a slash at the end only
 */
export function entryType(flag: string, path: string): TarEntryType | undefined {
  if (flag === "\0" && path.endsWith("/")) return "directory";
  return TYPES.get(flag);
}

/** The member's name from whichever place has the last word. */
export function memberPath(header: TarHeader, { longPath, pax }: Extensions): string {
  return longPath ?? pax.sparse?.name ?? pax.path ?? header.path;
}

/**
 * @param size the file's logical size, sparse maps counted in
 * @throws KilnError invalid_argument `bad-tar`, `tar-unknown-type`; resource_exhausted for what passes a limit
 */
export function buildEntry(
  header: TarHeader,
  extensions: Extensions,
  size: number,
  limits: LayerLimits,
  at: number,
): TarEntry {
  const { global, pax } = extensions;
  const path = memberPath(header, extensions);
  const type = entryType(header.flag, path);
  if (type === undefined) throw unknownType(header.flag, path, at);
  const isLink = type === "symlink" || type === "hardlink";
  const xattrs = joinXattrs(global.xattrs, pax.xattrs, limits, at);
  return {
    type,
    path,
    linkTarget: isLink ? (extensions.longLink ?? pax.linkTarget ?? header.linkTarget) : "",
    mode: header.mode,
    uid: checkId(pax.uid ?? global.uid ?? header.uid, "uid", path, at),
    gid: checkId(pax.gid ?? global.gid ?? header.gid, "gid", path, at),
    mtimeNs: pax.mtimeNs ?? global.mtimeNs ?? BigInt(header.mtimeSeconds) * 1_000_000_000n,
    size: type === "file" ? checkSize(size, path, limits, at) : 0,
    major: checkDevice(header.major, MAX_MAJOR, path, at),
    minor: checkDevice(header.minor, MAX_MINOR, path, at),
    ...(xattrs === undefined ? {} : { xattrs }),
    offset: at,
  };
}

/** Global attributes with an entry's own on top, within the limits; undefined where there are none. */
export function joinXattrs(
  global: ReadonlyMap<string, Uint8Array> | undefined,
  own: ReadonlyMap<string, Uint8Array> | undefined,
  limits: LayerLimits,
  at: number,
): Map<string, Uint8Array> | undefined {
  if (global === undefined && own === undefined) return undefined;
  const joined = new Map([...(global ?? []), ...(own ?? [])]);
  let total = 0;
  for (const [name, value] of joined) {
    total += name.length + value.length;
    if (name.length > limits.maxNameBytes) throw xattrTooLarge(name, "maxNameBytes", limits, at);
    if (value.length > limits.maxXattrBytes) throw xattrTooLarge(name, "maxXattrBytes", limits, at);
    if (total > limits.maxXattrTotalBytes) throw xattrTooLarge(name, "maxXattrTotalBytes", limits, at);
  }
  return joined;
}

const XATTR_PROBLEMS = {
  maxNameBytes: "has a name longer than",
  maxXattrBytes: "is larger than",
  maxXattrTotalBytes: "makes the entry's attributes larger than",
} as const;

function xattrTooLarge(
  name: string,
  limit: keyof typeof XATTR_PROBLEMS,
  limits: LayerLimits,
  at: number,
): KilnError {
  const what = `${XATTR_PROBLEMS[limit]} ${limits[limit]} bytes`;
  const message = `tar entry at byte ${at}: extended attribute ${quoteName(name)} ${what}`;
  return limitExceeded("xattr-too-large", message, limit);
}

function unknownType(flag: string, path: string, at: number): Error {
  return badTar(at, `${quoteName(path)} has the unknown type ${quoteName(flag)}`, "tar-unknown-type");
}

function checkId(id: number, field: string, path: string, at: number): number {
  if (id < 0 || id > MAX_ID)
    throw badTar(at, `${quoteName(path)} has the ${field} ${id}, which Linux can't hold`);
  return id;
}

function checkDevice(number: number, max: number, path: string, at: number): number {
  if (number < 0 || number > max)
    throw badTar(at, `${quoteName(path)} has a device number that Linux can't hold`);
  return number;
}

function checkSize(size: number, path: string, limits: LayerLimits, at: number): number {
  if (size <= limits.maxFileBytes) return size;
  const message = `tar entry at byte ${at}: ${quoteName(path)} has ${size} bytes, more than ${limits.maxFileBytes}`;
  throw limitExceeded("file-too-large", message, "maxFileBytes");
}
