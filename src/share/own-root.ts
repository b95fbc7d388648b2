// Whether what is root's can be served as root's by a server that is not: it is shown root's files as its own, by an idmapped
// mount, where the kernel and the file system have those (docs/design/0026-roots-own-directories.md).

import { spawn } from "node:child_process";
import { once } from "node:events";
import { keepText } from "../base/kept-text.js";
import type { RunAs } from "../base/privileges.js";
import { planQuestion } from "./plan.js";
import type { OpenSource } from "./source.js";
import type { ShareSpec } from "./types.js";

/** Some system calls. One that hangs with its file system is no better served. */
const PATIENCE_MS = 10_000;

/** Whether it is root's, and its ids are nobody's that were asked for. Of a root daemon. */
export function isRoots({ map }: Pick<ShareSpec, "map">, { stats }: Pick<OpenSource, "stats">): boolean {
  return stats.uid === 0 && map.kind === "squash";
}

/**
 * @param program kiln-share's path
 * @param as whom root's files are shown as
 * @returns undefined where it can be
 */
export async function whyNotOwnRoot(
  program: string,
  { fd }: Pick<OpenSource, "fd">,
  as: RunAs,
): Promise<string | undefined> {
  const { argv, env } = planQuestion(program, as);
  const [file = "", ...args] = argv;
  const options = { cwd: "/", env: { ...env }, timeout: PATIENCE_MS, killSignal: "SIGKILL" as const };
  const child = spawn(file, args, { ...options, stdio: ["ignore", "ignore", "pipe", fd] });
  const words = keepText(child.stderr);
  try {
    const [code, signal] = await once(child, "close");
    if (code === 0) return undefined;
    return words().trim() || `kiln-share exited with ${code ?? signal}`;
  } catch (error) {
    return (error as Error).message;
  }
}
