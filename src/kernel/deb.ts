// Unpacks Debian packages with dpkg-deb, which knows every compression that packages use. Needs no root: only files'
// contents matter, not their owners.

import { Code, KilnError } from "../base/errors.js";
import { openPlainFile } from "../base/plain-file.js";
import type { Abortable } from "../base/progress.js";
import { runProgram } from "./program.js";

const MAGIC = "!<arch>\ndebian-binary";

/**
 * Unpacks the files of a package below `target`.
 *
 * @throws KilnError invalid_argument `invalid-package`; failed_precondition `program-missing` off Debian
 */
export async function unpackDeb(path: string, target: string, options: Abortable = {}): Promise<void> {
  if (!(await isDeb(path))) throw invalidPackage(path, "it does not begin as a package does");
  try {
    await runProgram("dpkg-deb", ["--extract", path, target], {
      signal: options.signal,
      install:
        "install dpkg, or unpack the package elsewhere and import its vmlinuz with its modules directory",
    });
  } catch (error) {
    if (!(error instanceof KilnError) || error.reason !== "program-failed") throw error;
    throw invalidPackage(path, error.message, error);
  }
}

/** True where the file begins as a Debian package does (deb(5)). */
export async function isDeb(path: string): Promise<boolean> {
  const file = await openPlainFile(path);
  try {
    const head = Buffer.alloc(MAGIC.length);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return bytesRead === head.length && head.toString("latin1") === MAGIC;
  } finally {
    await file.close();
  }
}

function invalidPackage(path: string, why: string, cause?: unknown): KilnError {
  return new KilnError(Code.InvalidArgument, `cannot unpack the Debian package ${path}: ${why}`, {
    reason: "invalid-package",
    hint: "download it again",
    cause,
  });
}
