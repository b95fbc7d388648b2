// What programs in a VM may have, and its kernel's settings, as people write them: Docker's --ulimit and --sysctl.

import { Code, KilnError } from "./errors.js";
import { nearest } from "./suggest.js";

export interface UlimitSpec {
  readonly name: string;
  /** -1: unlimited. */
  readonly soft: number;
  readonly hard: number;
}

/** getrlimit(2)'s, without RLIMIT_ and in small letters. */
const ULIMITS: readonly string[] = [
  ...["as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice"],
  ...["nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"],
];
const UNLIMITED = -1;

/** "nofile=1024", "nofile=1024:4096", "core=-1". @throws KilnError invalid_argument `bad-ulimit` */
export function parseUlimit(text: string): UlimitSpec {
  const match = /^([a-z]+)=(-1|[0-9]{1,15}|unlimited)(?::(-1|[0-9]{1,15}|unlimited))?$/i.exec(text);
  if (match === null) throw badUlimit(text, "it is not NAME=SOFT[:HARD]");
  const [, name = "", soft = "", hard = soft] = match;
  return checkUlimit({ name: name.toLowerCase(), soft: limitOf(soft), hard: limitOf(hard) }, text);
}

/** @throws KilnError invalid_argument `bad-ulimit` */
export function checkUlimit(
  limit: UlimitSpec,
  text = `${limit.name}=${limit.soft}:${limit.hard}`,
): UlimitSpec {
  const { name, soft, hard } = limit;
  if (!ULIMITS.includes(name)) {
    const meant = nearest(name, ULIMITS);
    throw badUlimit(
      text,
      `"${name}" is no limit`,
      meant === undefined ? undefined : `did you mean ${meant}?`,
    );
  }
  for (const value of [soft, hard]) {
    if (!Number.isSafeInteger(value) || value < UNLIMITED) throw badUlimit(text, `${value} is no limit`);
  }
  if (hard !== UNLIMITED && (soft === UNLIMITED || soft > hard)) {
    throw badUlimit(text, "the soft limit is above the hard one");
  }
  return limit;
}

function limitOf(word: string): number {
  return word.toLowerCase() === "unlimited" ? UNLIMITED : Number(word);
}

/** "net.core.somaxconn=1024". @throws KilnError invalid_argument `bad-sysctl` */
export function parseSysctl(text: string): [string, string] {
  const cut = text.indexOf("=");
  if (cut < 0) throw badSysctl(text, "it is not NAME=VALUE");
  const [name, value] = [text.slice(0, cut).trim(), text.slice(cut + 1).trim()];
  checkSysctl(name, value);
  return [name, value];
}

/** @throws KilnError invalid_argument `bad-sysctl` */
export function checkSysctl(name: string, value: string): void {
  const text = `${name}=${value}`;
  // The name becomes a path below /proc/sys.
  if (!/^[a-zA-Z0-9_-]+([./][a-zA-Z0-9_:@-]+)+$/.test(name) || name.length > 200) {
    throw badSysctl(text, `"${name}" is no setting of a kernel`);
  }
  if (value.length > 4096 || /[\0\n]/.test(value)) throw badSysctl(text, "its value is too long, or no line");
}

function badUlimit(text: string, why: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, `limit "${text}": ${why}`, {
    reason: "bad-ulimit",
    hint: hint ?? "write NAME=SOFT[:HARD], for example nofile=1024:4096; -1 is unlimited",
  });
}

function badSysctl(text: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `sysctl "${text}": ${why}`, {
    reason: "bad-sysctl",
    hint: "write NAME=VALUE, for example net.core.somaxconn=1024",
  });
}
