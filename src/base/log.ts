// The daemon's log: one line per record on stderr, logfmt or JSON. Libraries below never print.

import { visibleJson } from "./visible.js";

export type Level = "debug" | "info" | "warn" | "error";
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

const ORDER: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
// syslog priorities, understood by journald at the start of a line (sd-daemon(3))
const PRIORITY: Readonly<Record<Level, string>> = { debug: "<7>", info: "<6>", warn: "<4>", error: "<3>" };

export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** The same log with more fields on every line. */
  with(fields: Fields): Logger;
}

export interface LogOptions {
  level: Level;
  format: "logfmt" | "json";
  /** Where lines go; default stderr. */
  write?: (line: string) => void;
  /** Prefix lines with journald priorities; default: when JOURNAL_STREAM is set. */
  journald?: boolean;
}

export function createLogger(options: LogOptions, base: Fields = {}): Logger {
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  const journald = options.journald ?? process.env.JOURNAL_STREAM !== undefined;
  const log = (level: Level, message: string, fields?: Fields) => {
    if (ORDER[level] < ORDER[options.level]) return;
    const record = { time: new Date().toISOString(), level, msg: message, ...base, ...fields };
    const line = options.format === "json" ? visibleJson(record) : toLogfmt(record);
    write(`${journald ? PRIORITY[level] : ""}${line}\n`);
  };
  return {
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
    with: (fields) => createLogger(options, { ...base, ...fields }),
  };
}

/** A log that drops everything: for tests and for rooms used without a daemon. */
export const silentLogger: Logger = createLogger({
  level: "error",
  format: "logfmt",
  write: () => undefined,
});

function toLogfmt(record: Fields): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(record)) {
    if (value === undefined) continue;
    const text = String(value);
    parts.push(`${key}=${/^[^\s"=\\\p{C}]+$/u.test(text) ? text : visibleJson(text)}`);
  }
  return parts.join(" ");
}
