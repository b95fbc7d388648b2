// Paths of this machine for completion, where the shell's own can't be had: in the middle of a word.

import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { OfferedName } from "./offered-names.js";

const MOST_PATHS = 200;
/** Would have to be quoted for the shell, or can't stand in a mount: who has such a name writes it. */
const ODD = /[\s"'$`\\;&|<>()*?[\]{}#!~:,]|\p{C}/u;

/** Those that begin so, directories with a slash behind them. None where the directory can't be read. */
export async function offeredPaths(
  typed: string,
  { cwd, home = "" }: { readonly cwd: string; readonly home: string | undefined },
): Promise<OfferedName[]> {
  const cut = typed.lastIndexOf("/") + 1;
  const shown = typed.slice(0, cut);
  const begin = typed.slice(cut);
  const directory = shown.startsWith("~/") ? join(home, shown.slice(2)) : resolve(cwd, shown);
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries
    .filter(
      ({ name }) => name.startsWith(begin) && !ODD.test(name) && (!name.startsWith(".") || begin !== ""),
    )
    .slice(0, MOST_PATHS)
    .map((entry) => ({ value: `${shown}${entry.name}${entry.isDirectory() ? "/" : ""}`, text: "" }));
}
