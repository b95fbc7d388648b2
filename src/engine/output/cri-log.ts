// A container's output as a kubelet reads it from its log file: a line for each line, with time, stream and a tag that
// says whether it is whole (F) or goes on (P). Pure; who writes the file keeps the place up to which it is written.
//
// Form: kubernetes/design-proposals-archive, kubelet-cri-logging.md.

import type { LogStream } from "./log-format.js";

/** Longer lines come in pieces: readers hold one in memory. As containerd has it. */
export const MOST_OF_A_LINE = 16 * 1024;
const NEWLINE = 0x0a;

export interface CriLines {
  /** For the file. */
  readonly text: Buffer;
  /**
   * What was not written: a line that has no end yet, shorter than MOST_OF_A_LINE. The place in the stream is before it, so
   * that whoever reads on from there, after a restart too, neither loses nor repeats a byte.
   */
  readonly rest: Buffer;
}

/**
 * @param held `rest` of the same stream's last call
 * @param data what came since
 * @param timeNs when it came, since 1970
 * @param ended nothing follows: what has no end is written as it is
 */
export function formatCriLines(
  stream: LogStream,
  held: Uint8Array,
  data: Uint8Array,
  { timeNs, ended }: { readonly timeNs: bigint; readonly ended: boolean },
): CriLines {
  const all = Buffer.concat([held, data]);
  const head = `${timeOf(timeNs)} ${stream} `;
  const parts: (string | Buffer)[] = [];
  let at = 0;
  const write = (tag: "F" | "P", end: number) => {
    parts.push(`${head}${tag} `, all.subarray(at, end), "\n");
    at = end;
  };
  for (let end = all.indexOf(NEWLINE); end >= 0; end = all.indexOf(NEWLINE, at)) {
    while (end - at > MOST_OF_A_LINE) write("P", at + MOST_OF_A_LINE);
    write("F", end);
    at = end + 1;
  }
  while (all.length - at >= MOST_OF_A_LINE) write("P", at + MOST_OF_A_LINE);
  if (ended && at < all.length) write("P", all.length);
  return { text: Buffer.concat(parts.map((part) => Buffer.from(part))), rest: all.subarray(at) };
}

const NS_A_SECOND = 1_000_000_000n;

/** "2026-01-02T03:04:05.000000006Z" */
function timeOf(ns: bigint): string {
  const part = ((ns % NS_A_SECOND) + NS_A_SECOND) % NS_A_SECOND;
  const seconds = new Date(Number((ns - part) / NS_A_SECOND) * 1000).toISOString().slice(0, -".000Z".length);
  return `${seconds}.${part.toString().padStart(9, "0")}Z`;
}
