// The guest kernel's command line, joined and bounded.

import { Code, KilnError } from "../base/errors.js";

/** COMMAND_LINE_SIZE of x86 Linux, its final NUL included. */
export const MAX_COMMAND_LINE = 2048;

/**
 * For every VMM. A panic ends the guest at once. The ciphers' self-tests take 180 ms under software emulation; so does
 * patching each of 11,000 lock prefixes away on one CPU, which saves nothing that can be measured later. Tunnels and
 * dummy interfaces that a kernel would make of its own accord are nothing that a guest has asked for.
 */
export const GUEST_WORDS: readonly string[] = [
  ...["quiet", "panic=-1", "cryptomgr.notests", "noreplace-smp"],
  ...["fb_tunnels=none", "dummy.numdummies=0"],
];

/**
 * One line of the driver's words and then the user's: the kernel takes the last of a repeated word.
 *
 * @param reserved bytes that the VMM itself will append
 * @throws KilnError invalid_argument `bad-kernel-args`
 */
export function joinCommandLine(driver: readonly string[], user: readonly string[], reserved = 0): string {
  for (const word of user) {
    if (word === "" || !/^[\x20-\x7e]+$/.test(word)) {
      throw new KilnError(
        Code.InvalidArgument,
        `kernel argument ${JSON.stringify(word)} is not printable ASCII`,
        { reason: "bad-kernel-args" },
      );
    }
  }
  const line = [...driver, ...user].join(" ");
  const room = MAX_COMMAND_LINE - 1 - reserved;
  if (line.length > room) {
    throw new KilnError(
      Code.InvalidArgument,
      `the kernel's command line has ${line.length} bytes, but only ${room} fit`,
      { reason: "bad-kernel-args", hint: "give fewer or shorter --kernel-args" },
    );
  }
  return line;
}
