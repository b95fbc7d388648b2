// Environment for a VM: `-e K=V`, `-e K` (ours), and files of such lines.

import { isUtf8 } from "node:buffer";
import { notUtf8 } from "../base/utf8.js";
import { requireUtf8 } from "./raw-words.js";
import { readSmallFile } from "./read-small-file.js";
import { usageError } from "./usage-error.js";

/** All of a VM's environment and arguments together may have as much. */
const MOST_BYTES = 1024 ** 2;

/**
 * "K=V" strings of flags, after those of files: what stands later wins in the guest. "K" alone, of a flag whose variable
 * we do not have, takes the image's away.
 *
 * @throws KilnError invalid_argument `usage`, `not-utf8`, not_found `no-such-file`
 */
export async function collectEnv(
  flags: readonly string[],
  files: readonly string[],
  ours: NodeJS.ProcessEnv,
): Promise<string[]> {
  const out: string[] = [];
  for (const file of files) out.push(...parseEnvFile(await read(file), file, ours));
  for (const flag of flags) out.push(resolve(flag, "-e", ours) ?? flag); // spaces in names and all, as Docker
  return out;
}

function read(file: string): Promise<Buffer> {
  return readSmallFile(file, "the environment file", MOST_BYTES);
}

/**
 * Docker's format: a variable a line, `#` comments, no quoting; a name alone takes our value, and is nothing where we
 * have none.
 */
export function parseEnvFile(content: Uint8Array, file: string, ours: NodeJS.ProcessEnv): string[] {
  const lines = decode(content, file).split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const text = line.trimStart();
    if (text === "" || text.startsWith("#")) return [];
    const where = `${file}:${index + 1}`;
    if (/\s/.test(nameOf(text))) throw noVariable(text, where);
    return resolve(text, where, ours) ?? [];
  });
}

function decode(content: Uint8Array, file: string): string {
  if (isUtf8(content))
    return Buffer.from(content)
      .toString("utf8")
      .replace(/^\ufeff/, "");
  const bytes = Buffer.from(content);
  let line = 1;
  for (let at = 0; ; line++) {
    const end = bytes.indexOf("\n", at);
    if (end < 0 || !isUtf8(bytes.subarray(at, end))) break;
    at = end + 1;
  }
  throw notUtf8(`read the environment file ${file}:${line}`, "kiln's wire carries variables as UTF-8");
}

/** undefined: a name alone, of a variable that we do not have. */
function resolve(text: string, where: string, ours: NodeJS.ProcessEnv): string | undefined {
  const name = nameOf(text);
  if (name === "") throw noVariable(text, where);
  if (text.includes("=")) return text;
  const value = ours[name];
  if (value === undefined) return undefined;
  requireUtf8("environ", [value], `${where}: take our ${name}`);
  return `${name}=${value}`;
}

function nameOf(text: string): string {
  return text.split("=", 1)[0] ?? "";
}

function noVariable(text: string, where: string): Error {
  return usageError("", `${where}: "${text}" is not NAME=VALUE`);
}
