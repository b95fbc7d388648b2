// Images and kernels that lie on this machine: kilnd has another working directory, so paths travel absolute.

import { existsSync } from "node:fs";
import { resolve } from "node:path";

const ON_DISK = /^(oci|oci-archive|docker-archive):(?!\/\/)([^:]+)(.*)$/s;

/** "oci:dir:tag" with the directory absolute; anything else as it is. */
export function absoluteImage(reference: string, cwd: string): string {
  const match = ON_DISK.exec(reference);
  if (match === null) return reference;
  const [, transport = "", path = "", rest = ""] = match;
  return `${transport}:${resolve(cwd, path)}${rest}`;
}

/** A kernel's source: a file that is there becomes absolute; "debian" and image references stay. */
export function absoluteKernel(source: string, cwd: string): string {
  if (/^(oci|oci-archive|docker-archive):/.test(source)) return absoluteImage(source, cwd);
  const path = resolve(cwd, source);
  return source.startsWith(".") || source.startsWith("/") || existsSync(path) ? path : source;
}
