// Sizes and durations as people write them.

import { Code, KilnError } from "./errors.js";

const KIB = 1024;
const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: KIB,
  m: KIB ** 2,
  g: KIB ** 3,
  t: KIB ** 4,
};

/**
 * Bytes of "512m", "2GiB", "1.5g", "64 GB". Factors are binary for every spelling, as Docker's `-m` has them.
 *
 * @param what names the option in the error
 * @throws KilnError invalid_argument `bad-size`
 */
export function parseSize(text: string, what = "size"): number {
  const match = /^\s*([0-9]+(?:\.[0-9]+)?)\s*([bkmgt]?)(?:i?b)?\s*$/i.exec(text);
  const factor = FACTORS[(match?.[2] ?? "").toLowerCase()];
  const bytes = match === null || factor === undefined ? Number.NaN : Math.round(Number(match[1]) * factor);
  if (!Number.isSafeInteger(bytes)) {
    throw new KilnError(Code.InvalidArgument, `${what} "${text}" is not a size`, {
      reason: "bad-size",
      hint: "write a number and a unit, for example 512m, 2GiB or 64g",
    });
  }
  return bytes;
}

/**
 * The same of a disk. 0 would be taken for "not said" further on, and make one of the default size.
 *
 * @throws KilnError invalid_argument `bad-size`
 */
export function parseDiskSize(text: string, what = "size"): number {
  const bytes = parseSize(text, what);
  if (bytes > 0) return bytes;
  throw new KilnError(Code.InvalidArgument, `${what} "${text}": a disk has more than 0 bytes`, {
    reason: "bad-size",
    hint: "leave it out for the default, or write for example 10g",
  });
}

/** "12.3MB", "4.1GB": decimal, as Docker shows sizes. */
export function formatSize(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (value < 1000 || unit === "TB") {
      return unit === "B"
        ? `${value}B`
        : `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))}${unit}`;
    }
    value /= 1000;
  }
  return `${bytes}B`;
}

/** "512MiB", "1.5GiB": binary, for memory. */
export function formatMemory(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024 || unit === "TiB") return `${Number(value.toPrecision(4))}${unit}`;
    value /= 1024;
  }
  return `${bytes}B`;
}

const DURATIONS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Milliseconds of "10s", "1m30s", "250ms", "2h"; a bare number is seconds, as Docker's `-t` has it.
 *
 * @throws KilnError invalid_argument `bad-duration`
 */
export function parseDuration(text: string, what = "duration"): number {
  if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return Math.round(Number(text) * 1000);
  let rest = text;
  let total = 0;
  while (rest.length > 0) {
    const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/.exec(rest);
    if (match === null) {
      throw new KilnError(Code.InvalidArgument, `${what} "${text}" is not a duration`, {
        reason: "bad-duration",
        hint: "write for example 10s, 1m30s or 250ms",
      });
    }
    total += Number(match[1]) * (DURATIONS[match[2] ?? ""] ?? 0);
    rest = rest.slice(match[0].length);
  }
  return Math.round(total);
}

/** "3 seconds", "2 minutes", "5 days", "3 weeks", "2 years": for "Up ..." and "... ago". */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  // The least of each unit that is shown, as Docker has it: 13 days, then 2 weeks.
  const steps: [number, string, number][] = [
    [365 * 86_400, "year", 2],
    [30 * 86_400, "month", 2],
    [7 * 86_400, "week", 2],
    [86_400, "day", 1],
    [3600, "hour", 1],
    [60, "minute", 1],
    [1, "second", 1],
  ];
  for (const [size, word, least] of steps) {
    const count = Math.floor(seconds / size);
    if (count >= least) return `${count} ${word}${count === 1 ? "" : "s"}`;
  }
  return "less than a second";
}
