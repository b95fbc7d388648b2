// A kernel's modules on their way into the catalogue: copied without following links, told apart by a fingerprint,
// and indexed by depmod so that modprobe works in the guest. Boot itself needs no index (modinfo.ts).

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { exists } from "../base/files.js";
import type { Logger } from "../base/log.js";
import type { Abortable } from "../base/progress.js";
import { runProgram } from "./program.js";

const MAX_FILES = 50_000;
const MAX_BYTES = 4 * 1024 ** 3;
const MAX_DEPTH = 16;
const RELEASE = /^[0-9A-Za-z][0-9A-Za-z._+~-]{0,127}$/;

export interface CopiedModules {
  /** sha256 over paths and sizes. */
  readonly fingerprint: string;
  readonly bytes: number;
}

/**
 * Copies regular files and directories; symlinks (`build`, `source`) and anything else are left out.
 *
 * @throws KilnError resource_exhausted `modules-too-large`
 */
export async function copyModules(from: string, to: string, options: Abortable = {}): Promise<CopiedModules> {
  const hash = createHash("sha256");
  let files = 0;
  let bytes = 0;
  const walk = async (relative: string, depth: number): Promise<void> => {
    await mkdir(join(to, relative), { mode: 0o755 });
    const entries = await readdir(join(from, relative), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      options.signal?.throwIfAborted();
      const path = join(relative, entry.name);
      if (entry.isDirectory() && depth < MAX_DEPTH) await walk(path, depth + 1);
      if (!entry.isFile()) continue;
      const { size } = await lstat(join(from, path));
      files++;
      bytes += size;
      if (files > MAX_FILES || bytes > MAX_BYTES) throw tooLarge(from);
      hash.update(`${path}\0${size}\n`);
      // Shares blocks where the file system can. COPYFILE_EXCL: never writes through something that is there.
      await copyFile(join(from, path), join(to, path), constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      await chmod(join(to, path), 0o644);
    }
  };
  await walk("", 0);
  return { fingerprint: hash.digest("hex"), bytes };
}

/**
 * Runs depmod over `base`/lib/modules/`release` where its index is missing. A host without depmod still boots the
 * kernel; only modprobe inside guests finds nothing, which the log says.
 */
export async function indexModules(
  base: string,
  release: string,
  log: Logger,
  options: Abortable = {},
): Promise<void> {
  checkRelease(release);
  if (await exists(join(base, "lib/modules", release, "modules.dep.bin"))) return;
  try {
    await runProgram("depmod", ["--basedir", base, release], {
      signal: options.signal,
      install: "install kmod",
    });
  } catch (error) {
    if (!hasReason(error, "program-missing")) throw error;
    log.warn("modules have no index, so modprobe will not work in guests: depmod is missing; install kmod", {
      release,
    });
  }
}

/** @throws KilnError invalid_argument `bad-release` for what can't be a directory's name */
export function checkRelease(release: string): string {
  if (RELEASE.test(release)) return release;
  throw new KilnError(Code.InvalidArgument, `"${release}" is no kernel release`, { reason: "bad-release" });
}

function tooLarge(path: string): KilnError {
  return new KilnError(
    Code.ResourceExhausted,
    `the modules in ${path} are more than ${MAX_FILES} files or ${MAX_BYTES} bytes`,
    { reason: "modules-too-large", hint: "name the directory /lib/modules/<release> of this kernel only" },
  );
}
