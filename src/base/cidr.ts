// Internet addresses and ranges of them as numbers: what overlaps, what is in what, how they are written (RFC 5952).

import { isIP, isIPv4 } from "node:net";

export interface IpAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

/** All addresses that begin with the same `prefix` bits as `first`, which has no further ones set. */
export interface Cidr {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly prefix: number;
}

const bitsOf = (family: 4 | 6): 32 | 128 => (family === 4 ? 32 : 128);

/** Undefined for what is no address, and for one with a zone ("fe80::1%eth0"), which means nothing elsewhere. */
export function parseAddress(text: string): IpAddress | undefined {
  if (text.includes("%")) return undefined;
  if (isIPv4(text)) return { family: 4, value: valueOf4(text) };
  return isIP(text) === 6 ? { family: 6, value: valueOf6(text) } : undefined;
}

/** "10.0.0.0/8"; a single address is a range of one. Undefined where it is none, or has bits set beyond its prefix. */
export function parseCidr(text: string): Cidr | undefined {
  const [word = "", prefixWord, ...rest] = text.split("/");
  const address = parseAddress(word);
  if (address === undefined || rest.length > 0) return undefined;
  const { family, value } = address;
  if (prefixWord !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(prefixWord)) return undefined;
  const prefix = prefixWord === undefined ? bitsOf(family) : Number(prefixWord);
  if (prefix > bitsOf(family)) return undefined;
  const cidr = { family, first: value, prefix };
  return value % sizeOf(cidr) === 0n ? cidr : undefined;
}

/** How many addresses. */
export function sizeOf({ family, prefix }: Cidr): bigint {
  return 1n << BigInt(bitsOf(family) - prefix);
}

export function lastOf(cidr: Cidr): bigint {
  return cidr.first + sizeOf(cidr) - 1n;
}

export function contains(cidr: Cidr, { family, value }: IpAddress): boolean {
  return family === cidr.family && value >= cidr.first && value <= lastOf(cidr);
}

export function overlaps(one: Cidr, other: Cidr): boolean {
  return one.family === other.family && one.first <= lastOf(other) && other.first <= lastOf(one);
}

export function formatAddress({ family, value }: IpAddress): string {
  return family === 4 ? format4(value) : format6(value);
}

/** Always with its prefix. */
export function formatCidr({ family, first, prefix }: Cidr): string {
  return `${formatAddress({ family, value: first })}/${prefix}`;
}

function valueOf4(text: string): bigint {
  return text.split(".").reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

/** @param text one that `isIP` takes for IPv6 */
function valueOf6(text: string): bigint {
  // ::ffff:1.2.3.4
  const dotted = /[0-9.]+$/.exec(text)?.[0] ?? "";
  const words = dotted.includes(".") ? text.slice(0, -dotted.length) + hexOf4(dotted) : text;
  const [head = "", tail] = words.split("::");
  const [before, after] = [groupsOf(head), groupsOf(tail ?? "")];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  const groups = tail === undefined ? before : [...before, ...zeros, ...after];
  return groups.reduce((value, group) => value * 65536n + BigInt(`0x${group}`), 0n);
}

function hexOf4(dotted: string): string {
  const value = valueOf4(dotted);
  return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
}

function groupsOf(text: string): string[] {
  return text === "" ? [] : text.split(":");
}

function format4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
}

/** The longest run of two or more zeros becomes "::", the first of equals. */
function format6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((value >> BigInt(112 - 16 * at)) & 0xffffn).toString(16),
  );
  const runs = [...groups.join(":").matchAll(/(?:^|(?<=:))0(?::0)+(?=:|$)/g)];
  const longest = runs.reduce<string>((best, [run]) => (run.length > best.length ? run : best), "");
  const text = groups.join(":");
  const at = runs.find(([run]) => run === longest)?.index;
  if (at === undefined) return text;
  return `${text.slice(0, at).replace(/:$/, "")}::${text.slice(at + longest.length).replace(/^:/, "")}`;
}
