// Numbers in tar headers: octal text, and the base-256 of GNU and star for what octal can't hold.

import { badTar } from "./tar-errors.js";

const SPACE = 0x20;
const ZERO = 0x30;
const SEVEN = 0x37;

/**
 * A numeric field. Blank is 0. Octal may be padded with spaces and NULs on both sides, as every old tar did.
 *
 * @returns a safe integer; negative only from base-256
 * @throws KilnError invalid_argument `bad-tar`
 */
export function parseNumber(
  block: Uint8Array,
  start: number,
  length: number,
  field: string,
  at: number,
): number {
  const first = block[start] ?? 0;
  if ((first & 0x80) !== 0) return parseBase256(block, start, length, field, at);
  let i = start;
  const end = start + length;
  while (i < end && isPadding(block[i] ?? 0)) i++;
  let value = 0;
  for (; i < end; i++) {
    const char = block[i] ?? 0;
    if (char < ZERO || char > SEVEN) break;
    value = value * 8 + (char - ZERO);
  }
  for (; i < end; i++) {
    const char = block[i] ?? 0;
    // The field ends at its first NUL; only spaces may stand before that.
    if (char === 0) break;
    if (char !== SPACE) throw badTar(at, `${field} is not an octal number`);
  }
  if (!Number.isSafeInteger(value)) throw badTar(at, `${field} is too large`);
  return value;
}

function isPadding(char: number): boolean {
  return char === SPACE || char === 0;
}

/** Big-endian two's complement; the top bit of the first byte only marks the form. */
function parseBase256(block: Uint8Array, start: number, length: number, field: string, at: number): number {
  const first = block[start] ?? 0;
  const negative = (first & 0x40) !== 0;
  let value = negative ? (first & 0x7f) - 0x80 : first & 0x7f;
  for (let i = start + 1; i < start + length; i++) {
    value = value * 256 + (block[i] ?? 0);
    if (!Number.isSafeInteger(value)) throw badTar(at, `${field} is too large`);
  }
  return value;
}

const DECIMAL = /^[0-9]{1,16}$/;

/**
 * An unsigned decimal of a PAX record or a sparse map.
 *
 * @throws KilnError invalid_argument `bad-tar`
 */
export function parseDecimal(text: string, field: string, at: number): number {
  const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw badTar(at, `${field} is not a decimal number within range`);
  return value;
}

const TIME = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/;

/**
 * Nanoseconds of a PAX time ("-1.5", "1350244992.023960108"); digits beyond the ninth are cut off.
 *
 * @throws KilnError invalid_argument `bad-tar`
 */
export function parsePaxTime(text: string, field: string, at: number): bigint {
  const match = TIME.exec(text);
  if (match === null) throw badTar(at, `${field} is not a time`);
  const [, sign, seconds, fraction] = match;
  const nanos = BigInt(seconds ?? "0") * 1_000_000_000n + BigInt((fraction ?? "").slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -nanos : nanos;
}
