// The user's terminal: raw while a program in a VM uses it, and given back whatever happens.

import { Code, KilnError } from "../base/errors.js";
import type { TerminalSize } from "../sdk/index.js";
import type { Context, Sink } from "./context.js";

/**
 * Puts the terminal into raw mode; gives the function that restores it. An exit by any way (an uncaught error, a
 * signal's default action) restores it too: node resets terminals when it ends, this only does so earlier.
 */
export async function enterRawMode(stdin: NodeJS.ReadStream): Promise<() => void> {
  if (!stdin.isTTY || typeof stdin.setRawMode !== "function") return () => undefined;
  const before = stdin.isRaw;
  stdin.setRawMode(true);
  await leaveOutputAlone();
  return () => void stdin.setRawMode(before);
}

/**
 * node's raw mode still turns LF into CR LF. The guest's terminal has done that already, and an editor that moves
 * down with a bare LF would find itself at the left edge. Leaving raw mode restores this too.
 */
async function leaveOutputAlone(): Promise<void> {
  const { spawnSync } = await import("node:child_process");
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
}

/** Size of the terminal behind a sink; undefined where there is none. */
export function terminalSize(sink: Sink & { readonly rows?: number }): TerminalSize | undefined {
  if (!sink.isTTY) return undefined;
  return { columns: sink.columns, rows: sink.rows ?? 24 };
}

/** @throws KilnError failed_precondition `not-a-terminal` */
export function requireTerminal(context: Context, verb: string, wanted: boolean): void {
  if (!wanted || context.stdin.isTTY === true) return;
  throw new KilnError(Code.FailedPrecondition, `${verb} -it: stdin is not a terminal`, {
    reason: "not-a-terminal",
    hint: "leave out -t where input comes from a pipe or a file",
  });
}
