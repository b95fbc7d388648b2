// Environment for a VM: `-e K=V`, `-e K` (ours), and files of such lines.

import { readSmallFile } from "./read-small-file.js";
import { usageError } from "./usage-error.js";

/** All of a VM's environment and arguments together may have as much. */
const MOST_BYTES = 1024 ** 2;

/**
 * "K=V" strings of flags, after those of files: what stands later wins in the guest.
 *
 * @throws KilnError invalid_argument `usage`, not_found `no-such-file`
 */
export async function collectEnv(
  flags: readonly string[],
  files: readonly string[],
  ours: NodeJS.ProcessEnv,
): Promise<string[]> {
  const out: string[] = [];
  for (const file of files) out.push(...parseEnvFile(await read(file), file, ours));
  for (const flag of flags) out.push(...resolve(flag, "-e", ours));
  return out;
}

async function read(file: string): Promise<string> {
  return (await readSmallFile(file, "the environment file", MOST_BYTES)).toString("utf8");
}

/** Docker's format: a variable a line, `#` comments, no quoting; a name alone takes our value. */
export function parseEnvFile(content: string, file: string, ours: NodeJS.ProcessEnv): string[] {
  const lines = content.replace(/^\ufeff/, "").split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const text = line.trimStart();
    return text === "" || text.startsWith("#") ? [] : resolve(text, `${file}:${index + 1}`, ours);
  });
}

function resolve(text: string, where: string, ours: NodeJS.ProcessEnv): string[] {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === "" || /\s/.test(name)) throw usageError("", `${where}: "${text}" is not NAME=VALUE`);
  if (equals >= 0) return [text];
  const value = ours[name];
  return value === undefined ? [] : [`${name}=${value}`];
}
