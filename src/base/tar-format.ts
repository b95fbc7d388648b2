// One tar entry's header, both ways: ustar with PAX records (pax(1)), GNU long names and base-256 numbers read too.
// Names are bytes, carried as latin1 strings: a guest may hold names that are not UTF-8.

import { Code, KilnError } from "./errors.js";

/** Everything in a tar comes in blocks of this size. */
export const BLOCK_BYTES = 512;
/** Longest PAX or GNU extension taken. */
export const MAX_EXTENSION_BYTES = 1024 * 1024;
/** All extensions before one entry, their headers counted in. */
export const MAX_EXTENSIONS_BYTES = 2 * MAX_EXTENSION_BYTES;

/** Kinds of entries that are read and written. */
export type TarType = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

/** One entry, extensions applied. */
export interface TarEntry {
  /** Bytes as latin1, without a trailing slash. */
  readonly name: string;
  readonly type: TarType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of the data that follows; 0 for all but files. */
  readonly size: number;
  readonly mtimeMs: number;
  /** Target of a link; else "". */
  readonly linkName: string;
}

const TYPE_FLAGS: Readonly<Record<TarType, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};
const TYPES = new Map<string, TarType>(
  Object.entries(TYPE_FLAGS).map(([type, flag]) => [flag, type as TarType]),
);
TYPES.set("\0", "file").set("7", "file");

const MAX_OCTAL_11 = 8 ** 11 - 1;
const MAX_OCTAL_7 = 8 ** 7 - 1;

/** The header blocks of an entry; its data and padding follow. */
export function encodeTarHeader(entry: TarEntry): Buffer {
  const name = entry.type === "directory" ? `${entry.name}/` : entry.name;
  const seconds = Math.floor(entry.mtimeMs / 1000);
  const records = paxRecords(entry, name, seconds);
  const header = encodeUstar({
    name,
    flag: TYPE_FLAGS[entry.type],
    mode: entry.mode,
    uid: Math.min(entry.uid, MAX_OCTAL_7),
    gid: Math.min(entry.gid, MAX_OCTAL_7),
    size: Math.min(entry.size, MAX_OCTAL_11),
    seconds: Math.min(Math.max(seconds, 0), MAX_OCTAL_11),
    linkName: entry.linkName,
  });
  return Buffer.concat([encodeExtension(records), header]);
}

/**
 * The header blocks of an entry as it came, but for its names and where it is no file its size: attributes, device
 * numbers and times stay what they were.
 *
 * @param entry what `header` and `pax` make, under its new names
 */
export function renameTarHeader(
  header: RawHeader,
  pax: ReadonlyMap<string, string>,
  entry: TarEntry,
): Buffer {
  const name = entry.type === "directory" ? `${entry.name}/` : entry.name;
  const records = [...pax].filter(([key]) => key !== "path" && key !== "linkpath" && key !== "size");
  if (name.length > 100) records.push(["path", name]);
  if (entry.linkName.length > 100) records.push(["linkpath", entry.linkName]);
  if (entry.size > MAX_OCTAL_11) records.push(["size", String(entry.size)]);
  const block = Buffer.from(header.block);
  putText(block, 0, 100, name);
  putText(block, 157, 100, entry.linkName);
  // Behind POSIX's magic lies the front part of the old name.
  if (hasPrefix(block)) block.fill(0, 345, 500);
  writeOctal(block, 124, 12, Math.min(entry.size, MAX_OCTAL_11));
  writeChecksum(block);
  return Buffer.concat([encodeExtension(records), block]);
}

function encodeExtension(records: readonly (readonly [string, string])[]): Buffer {
  if (records.length === 0) return Buffer.alloc(0);
  const body = Buffer.concat(records.map(([key, value]) => encodePaxRecord(key, value)));
  const extension = encodeUstar({
    name: "PaxHeaders/entry",
    flag: "x",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    seconds: 0,
    linkName: "",
  });
  return Buffer.concat([extension, body, Buffer.alloc(paddingOf(body.length))]);
}

/** What does not fit the fixed fields. */
function paxRecords(entry: TarEntry, name: string, seconds: number): [string, string][] {
  const records: [string, string][] = [];
  if (name.length > 100) records.push(["path", name]);
  if (entry.linkName.length > 100) records.push(["linkpath", entry.linkName]);
  if (entry.size > MAX_OCTAL_11) records.push(["size", String(entry.size)]);
  if (entry.uid > MAX_OCTAL_7) records.push(["uid", String(entry.uid)]);
  if (entry.gid > MAX_OCTAL_7) records.push(["gid", String(entry.gid)]);
  if (seconds < 0 || seconds > MAX_OCTAL_11 || entry.mtimeMs !== seconds * 1000) {
    records.push(["mtime", formatPaxTime(entry.mtimeMs)]);
  }
  return records;
}

/** Seconds with microseconds. */
function formatPaxTime(ms: number): string {
  const micros = Math.round(Math.abs(ms) * 1000);
  const rest = String(micros % 1_000_000).padStart(6, "0");
  return `${ms < 0 ? "-" : ""}${Math.floor(micros / 1_000_000)}.${rest}`;
}

function encodePaxRecord(key: string, value: string): Buffer {
  const payload = ` ${key}=${value}\n`;
  let length = payload.length + 1;
  while (String(length).length + payload.length !== length) length = String(length).length + payload.length;
  return Buffer.from(`${length}${payload}`, "latin1");
}

interface Ustar {
  readonly name: string;
  readonly flag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: number;
  readonly linkName: string;
}

function encodeUstar(fields: Ustar): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  putText(block, 0, 100, fields.name);
  writeOctal(block, 100, 8, fields.mode);
  writeOctal(block, 108, 8, fields.uid);
  writeOctal(block, 116, 8, fields.gid);
  writeOctal(block, 124, 12, fields.size);
  writeOctal(block, 136, 12, fields.seconds);
  block.write(fields.flag, 156, "latin1");
  putText(block, 157, 100, fields.linkName);
  block.write("ustar\x0000", 257, "latin1");
  writeOctal(block, 329, 8, 0);
  writeOctal(block, 337, 8, 0);
  writeChecksum(block);
  return block;
}

function putText(block: Buffer, at: number, width: number, text: string): void {
  block.fill(0, at, at + width);
  block.write(text.slice(0, width), at, "latin1");
}

function writeChecksum(block: Buffer): void {
  block.write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

function writeOctal(block: Buffer, at: number, width: number, value: number): void {
  block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK_BYTES; index++) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  return sum;
}

/** Zero bytes that fill `size` up to whole blocks. */
export function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

/** A header block as it stands, extensions not yet applied. */
export interface RawHeader {
  readonly block: Buffer;
  readonly flag: string;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: number;
}

/**
 * Reads one header block; undefined for a block of zeros, which ends an archive.
 *
 * @throws KilnError data_loss `bad-archive`
 */
export function parseTarHeader(block: Buffer): RawHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (readNumber(block, 148, 8) !== checksum(block)) throw badArchive("a header's checksum is wrong");
  const prefix = hasPrefix(block) ? readText(block, 345, 155) : "";
  const name = readText(block, 0, 100);
  return {
    block,
    flag: String.fromCharCode(block[156] ?? 0),
    name: prefix !== "" ? `${prefix}/${name}` : name,
    linkName: readText(block, 157, 100),
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: readUnsigned(block, 108, 8),
    gid: readUnsigned(block, 116, 8),
    size: readUnsigned(block, 124, 12),
    seconds: readNumber(block, 136, 12),
  };
}

/** GNU's own magic ("ustar  ") keeps times where POSIX keeps the prefix. */
function hasPrefix(block: Buffer): boolean {
  return block.toString("latin1", 257, 263) === "ustar\0";
}

function readText(block: Buffer, at: number, width: number): string {
  const text = block.toString("latin1", at, at + width);
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** All but times: who counts down from the length of an entry would never come to its end. */
function readUnsigned(block: Buffer, at: number, width: number): number {
  const value = readNumber(block, at, width);
  if (value < 0) throw badArchive("a header holds a negative number");
  return value;
}

function readNumber(block: Buffer, at: number, width: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) return readBase256(block.subarray(at, at + width));
  const text = readText(block, at, width).trim();
  if (!/^[0-7]*$/.test(text)) throw badArchive("a header holds a number that is not octal");
  return text === "" ? 0 : Number.parseInt(text, 8);
}

function readBase256(field: Buffer): number {
  const negative = (field[0] ?? 0) === 0xff;
  let value = BigInt(negative ? -1 : (field[0] ?? 0) & 0x7f);
  for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte);
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw badArchive("a header holds a number out of range");
  return number;
}

/** The entry that a header and its PAX records make. @throws KilnError data_loss `bad-archive` */
export function entryOf(header: RawHeader, pax: ReadonlyMap<string, string>): TarEntry {
  const type = TYPES.get(header.flag);
  if (type === undefined)
    throw badArchive(`it holds an entry of unknown type ${JSON.stringify(header.flag)}`);
  if (pax.has("GNU.sparse.major")) throw badArchive("it holds a sparse entry, which kiln does not make");
  const name = pax.get("path") ?? header.name;
  const mtime = pax.get("mtime");
  return {
    name: name.replace(/\/+$/, ""),
    type: type === "file" && name.endsWith("/") ? "directory" : type,
    mode: header.mode,
    uid: paxNumber(pax, "uid") ?? header.uid,
    gid: paxNumber(pax, "gid") ?? header.gid,
    size: type === "file" ? (paxNumber(pax, "size") ?? header.size) : 0,
    mtimeMs: mtime === undefined ? header.seconds * 1000 : paxTime(mtime),
    linkName: pax.get("linkpath") ?? header.linkName,
  };
}

function paxNumber(pax: ReadonlyMap<string, string>, key: string): number | undefined {
  const text = pax.get(key);
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw badArchive(`its ${key} record is not a number`);
  return value;
}

/** Milliseconds of "1700000000.123456789", rounded to microseconds: whole and part apart, or large times lose digits. */
function paxTime(text: string): number {
  const match = /^(-?)([0-9]{1,13})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw badArchive("its mtime record is not a time");
  const [, sign, seconds = "", fraction = ""] = match;
  const ms = Number(seconds) * 1000 + Math.round(Number(`0.${fraction}`) * 1e6) / 1000;
  return sign === "-" ? -ms : ms;
}

/** The records of one PAX extension. @throws KilnError data_loss `bad-archive` */
export function parsePaxRecords(body: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  let rest = body.toString("latin1");
  while (rest !== "") {
    const match = /^([0-9]{1,8}) /.exec(rest);
    const length = Number(match?.[1] ?? Number.NaN);
    const record = rest.slice(match?.[0].length ?? 0, length);
    const equals = record.indexOf("=");
    if (!(length <= rest.length) || equals < 1 || !record.endsWith("\n"))
      throw badArchive("a PAX record is damaged");
    records.set(record.slice(0, equals), record.slice(equals + 1, -1));
    rest = rest.slice(length);
  }
  return records;
}

/** @param why what of it is wrong */
export function badArchive(why: string): KilnError {
  return new KilnError(Code.DataLoss, `read a tar archive: ${why}`, { reason: "bad-archive" });
}
