// PAX extended headers ("x" and "g"): records "LENGTH KEY=VALUE\n" that override header fields. POSIX pax(1).
// Keys we have no use for (uname, atime, comments, LIBARCHIVE.*, textual ACLs) are checked for form and left.
// Extended attributes come from SCHILY.xattr.* alone, as in every container runtime; libarchive writes both.

import { badTar } from "./tar-errors.js";
import { parseDecimal, parsePaxTime } from "./tar-number.js";

const XATTR_KEY = "SCHILY.xattr.";
const SPARSE_KEY = "GNU.sparse.";

/** Overrides for the next entry ("x") or for all that follow ("g"). */
export interface PaxOverrides {
  path?: string;
  linkTarget?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtimeNs?: bigint;
  xattrs?: Map<string, Uint8Array>;
  sparse?: PaxSparse;
}

/** GNU.sparse.* of formats 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files"), unchecked. */
export interface PaxSparse {
  major?: string;
  minor?: string;
  name?: string;
  size?: number;
  realSize?: number;
  blocks?: number;
  /** Offsets and lengths in turns, of 0.0's repeated records or of 0.1's map. */
  map: number[];
  /** The record that 0.0 must have next. */
  expectsLength?: boolean;
}

interface PaxRecord {
  readonly key: string;
  readonly value: Buffer;
}

/**
 * @param body the header's whole data
 * @throws KilnError invalid_argument `bad-tar`
 */
export function parsePax(body: Buffer, global: boolean, at: number): PaxOverrides {
  const overrides: PaxOverrides = {};
  let position = 0;
  while (position < body.length) {
    // Some writers pad the body with NULs instead of saying its exact length.
    if (body[position] === 0) break;
    const end = recordEnd(body, position, at);
    applyRecord(overrides, readRecord(body, position, end, at), global, at);
    position = end;
  }
  if (overrides.sparse?.expectsLength === true) throw badTar(at, "a sparse record lacks its length");
  return overrides;
}

/** Position after the record's newline. */
function recordEnd(body: Buffer, start: number, at: number): number {
  const space = body.indexOf(0x20, start);
  const digits = space === -1 ? "" : body.toString("latin1", start, Math.min(space, start + 17));
  const length = parseDecimal(digits, "a PAX record's length", at);
  const end = start + length;
  if (end > body.length || end <= space + 1 || body[end - 1] !== 0x0a) {
    throw badTar(at, "a PAX record's length doesn't fit");
  }
  return end;
}

function readRecord(body: Buffer, start: number, end: number, at: number): PaxRecord {
  const keyStart = body.indexOf(0x20, start) + 1;
  const equals = body.indexOf(0x3d, keyStart);
  if (equals <= keyStart || equals >= end) throw badTar(at, "a PAX record has no key");
  const key = body.toString("latin1", keyStart, equals);
  if (key.includes("\0")) throw badTar(at, "a PAX record's key holds NUL");
  return { key, value: body.subarray(equals + 1, end - 1) };
}

function applyRecord(to: PaxOverrides, record: PaxRecord, global: boolean, at: number): void {
  const { key, value } = record;
  if (key.startsWith(XATTR_KEY)) {
    addXattr(to, key.slice(XATTR_KEY.length), value, at);
  } else if (key.startsWith(SPARSE_KEY)) {
    refuseGlobal(key, global, at);
    to.sparse ??= { map: [] };
    applySparse(to.sparse, key.slice(SPARSE_KEY.length), value.toString("latin1"), at);
  } else if (value.length > 0) {
    // An empty value means "as if the record were not there" (pax(1)).
    applyField(to, key, value.toString("latin1"), global, at);
  }
}

function applyField(to: PaxOverrides, key: string, value: string, global: boolean, at: number): void {
  switch (key) {
    case "path":
      refuseGlobal(key, global, at);
      to.path = withoutNul(value, key, at);
      break;
    case "linkpath":
      refuseGlobal(key, global, at);
      to.linkTarget = withoutNul(value, key, at);
      break;
    case "size":
      refuseGlobal(key, global, at);
      to.size = parseDecimal(value, "PAX size", at);
      break;
    case "uid":
      to.uid = parseDecimal(value, "PAX uid", at);
      break;
    case "gid":
      to.gid = parseDecimal(value, "PAX gid", at);
      break;
    case "mtime":
      to.mtimeNs = parsePaxTime(value, "PAX mtime", at);
      break;
  }
}

/** One name or size for every entry makes no sense, and a reader that disagrees about it is an attack. */
function refuseGlobal(key: string, global: boolean, at: number): void {
  if (global) throw badTar(at, `a global PAX header sets ${key}`);
}

function withoutNul(value: string, key: string, at: number): string {
  if (value.includes("\0")) throw badTar(at, `PAX ${key} holds NUL`);
  return value;
}

function addXattr(to: PaxOverrides, name: string, value: Buffer, at: number): void {
  if (name === "") throw badTar(at, "an extended attribute has no name");
  to.xattrs ??= new Map();
  // The body's buffer is used again for the next header.
  to.xattrs.set(name, Uint8Array.from(value));
}

function applySparse(sparse: PaxSparse, key: string, value: string, at: number): void {
  switch (key) {
    case "major":
      sparse.major = value;
      break;
    case "minor":
      sparse.minor = value;
      break;
    case "name":
      sparse.name = withoutNul(value, "GNU.sparse.name", at);
      break;
    case "size":
      sparse.size = parseDecimal(value, "GNU.sparse.size", at);
      break;
    case "realsize":
      sparse.realSize = parseDecimal(value, "GNU.sparse.realsize", at);
      break;
    case "numblocks":
      sparse.blocks = parseDecimal(value, "GNU.sparse.numblocks", at);
      break;
    case "offset":
    case "numbytes":
      addPair(sparse, key === "numbytes", parseDecimal(value, `GNU.sparse.${key}`, at), at);
      break;
    case "map":
      sparse.map = value === "" ? [] : value.split(",").map((n) => parseDecimal(n, "GNU.sparse.map", at));
      break;
  }
}

/** 0.0 repeats offset and numbytes, strictly in turns. */
function addPair(sparse: PaxSparse, isLength: boolean, value: number, at: number): void {
  if ((sparse.expectsLength ?? false) !== isLength) throw badTar(at, "sparse records are out of order");
  sparse.map.push(value);
  sparse.expectsLength = !isLength;
}
