// Signal names to Linux numbers, as people write them: TERM, SIGTERM, 15, RTMIN+3.

import { constants } from "node:os";
import { Code, KilnError } from "../../base/errors.js";

// glibc's real-time range (signal(7)); the guest is Linux whatever its libc, and images write SIGRTMIN+3 for systemd.
const RT_MIN = 34;
const RT_MAX = 64;

/**
 * The number of a signal.
 *
 * @throws KilnError invalid_argument `bad-signal`
 */
export function signalNumber(text: string): number {
  const name = text.trim().toUpperCase().replace(/^SIG/, "");
  const number = /^[0-9]{1,2}$/.test(name) ? Number(name) : (named(name) ?? realTime(name));
  if (number === undefined || number < 1 || number > RT_MAX) {
    throw new KilnError(Code.InvalidArgument, `"${text}" is not a signal`, {
      reason: "bad-signal",
      hint: "write a name such as TERM, SIGHUP or RTMIN+3, or a number from 1 to 64",
    });
  }
  return number;
}

function named(name: string): number | undefined {
  const known: Readonly<Record<string, number>> = constants.signals;
  return Object.hasOwn(known, `SIG${name}`) ? known[`SIG${name}`] : undefined;
}

function realTime(name: string): number | undefined {
  const match = /^RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(name);
  if (match === null) return undefined;
  const offset = Number(match[3] ?? 0) * (match[2] === "-" ? -1 : 1);
  const number = (match[1] === "MIN" ? RT_MIN : RT_MAX) + offset;
  return number >= RT_MIN && number <= RT_MAX ? number : undefined;
}
