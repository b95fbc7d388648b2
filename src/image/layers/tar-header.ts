// One 512-byte header block: checksum, dialect, fields. Knows nothing of what came before it (PAX, long names).
// Layout: POSIX pax(1) "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

import { badTar, corruptTar, notTar } from "./tar-errors.js";
import { parseNumber } from "./tar-number.js";

export const BLOCK = 512;

/** `posix` has a name prefix, `star` a shorter one, `gnu` and `v7` none. */
export type TarDialect = "v7" | "posix" | "star" | "gnu";

export interface TarHeader {
  readonly dialect: TarDialect;
  /** The type flag as a char: "0", "5", "x", …; "\0" for the old regular file. */
  readonly flag: string;
  readonly path: string;
  readonly linkTarget: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly major: number;
  readonly minor: number;
}

const ZERO_BLOCK = Buffer.alloc(BLOCK);
const CHECKSUM_START = 148;
const CHECKSUM_END = 156;

/** True for the block that ends an archive. */
export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && ZERO_BLOCK.equals(block);
}

/** The bytes from `start` up to the first NUL, at most `length` of them, one char each. */
export function textField(block: Buffer, start: number, length: number): string {
  const end = start + length;
  const nul = block.indexOf(0, start);
  return block.toString("latin1", start, nul === -1 || nul > end ? end : nul);
}

/**
 * @param block exactly 512 bytes
 * @param at where the block lies in the archive, for errors
 * @throws KilnError data_loss `tar-corrupt` on a wrong checksum; invalid_argument `bad-tar` on a malformed field
 */
export function parseHeader(block: Buffer, at: number): TarHeader {
  checkSum(block, at);
  const dialect = dialectOf(block);
  const flag = String.fromCharCode(block[156] ?? 0);
  const isDevice = flag === "3" || flag === "4";
  return {
    dialect,
    flag,
    path: pathOf(block, dialect),
    linkTarget: textField(block, 157, 100),
    mode: parseNumber(block, 100, 8, "mode", at) & 0o7777,
    uid: parseNumber(block, 108, 8, "uid", at),
    gid: parseNumber(block, 116, 8, "gid", at),
    size: sizeOf(block, at),
    mtimeSeconds: parseNumber(block, 136, 12, "mtime", at),
    // Writers leave rubbish in these fields of all other types.
    major: isDevice ? parseNumber(block, 329, 8, "device major", at) : 0,
    minor: isDevice ? parseNumber(block, 337, 8, "device minor", at) : 0,
  };
}

/** Old tars summed signed bytes (pax(1) wants unsigned): either is right. */
function checkSum(block: Buffer, at: number): void {
  if (at === 0 && !/^[ 0]*[0-7]+[ \0]/.test(block.toString("latin1", CHECKSUM_START, CHECKSUM_END)))
    throw notTar();
  const expected = parseNumber(block, CHECKSUM_START, CHECKSUM_END - CHECKSUM_START, "checksum", at);
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let i = 0; i < BLOCK; i++) {
    if (i === CHECKSUM_START) i = CHECKSUM_END;
    const byte = block[i] ?? 0;
    unsigned += byte;
    high += byte >> 7;
  }
  if (expected !== unsigned && expected !== unsigned - 256 * high) {
    throw corruptTar(at, "the header's checksum is wrong");
  }
}

function dialectOf(block: Buffer): TarDialect {
  const magic = block.toString("latin1", 257, 265);
  if (magic === "ustar  \0") return "gnu";
  if (!magic.startsWith("ustar")) return "v7";
  return block.toString("latin1", 508, 512) === "tar\0" ? "star" : "posix";
}

function pathOf(block: Buffer, dialect: TarDialect): string {
  const name = textField(block, 0, 100);
  if (dialect !== "posix" && dialect !== "star") return name;
  const prefix = textField(block, 345, dialect === "star" ? 131 : 155);
  return prefix === "" ? name : `${prefix}/${name}`;
}

function sizeOf(block: Buffer, at: number): number {
  const size = parseNumber(block, 124, 12, "size", at);
  if (size < 0) throw badTar(at, "size is negative");
  return size;
}
