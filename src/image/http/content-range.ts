// Content-Range (RFC 9110, 14.4), bytes only.

export interface ContentRange {
  /** First byte. */
  readonly start: number;
  /** Last byte, included. */
  readonly end: number;
  /** Size of the whole; undefined for `*`. */
  readonly total: number | undefined;
}

/** Parses `bytes 5-9/10`; undefined for anything else, unsatisfied ranges (`bytes *` + `/10`) included. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^bytes ([0-9]{1,16})-([0-9]{1,16})\/([0-9]{1,16}|\*)$/i.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]);
  const total = match[3] === "*" ? undefined : Number(match[3]);
  const safe = [start, end, total ?? 0].every(Number.isSafeInteger);
  if (!safe || end < start || (total !== undefined && end >= total)) return undefined;
  return { start, end, total };
}
