// Times as `--since` takes them.

import { parseDuration } from "../base/units.js";
import { usageError } from "./usage-error.js";

/**
 * "10m" (ago), "2026-01-02T03:04:05Z", "2026-01-02" (local time), or seconds since 1970.
 *
 * @throws KilnError invalid_argument `usage`
 */
export function parseWhen(text: string, flag: string, now: Date): Date {
  if (/^[0-9]{9,12}(\.[0-9]+)?$/.test(text)) return new Date(Number(text) * 1000);
  if (/^[0-9.]+(ms|s|m|h|d)/.test(text)) return new Date(now.getTime() - parseDuration(text, flag));
  const date = /^\d{4}-\d{2}-\d{2}/.test(text) ? new Date(localDay(text)) : new Date(Number.NaN);
  if (Number.isNaN(date.getTime())) {
    throw usageError(
      "",
      `${flag} "${text}" is no time: write 10m, 2026-01-02T03:04:05Z or seconds since 1970`,
    );
  }
  return date;
}

/** A bare day is midnight here, not in Greenwich, as `new Date` would have it. */
function localDay(text: string): string {
  return text.length === 10 ? `${text}T00:00:00` : text;
}
