// Debian's packaged cloud kernel: which packages it is made of. apt brings them.

import { Code, KilnError } from "../base/errors.js";
import type { Abortable, OnProgress } from "../base/progress.js";
import { type Apt, isAptFailure, noSuchPackage, withApt } from "./apt.js";

export interface FetchOptions extends Abortable {
  readonly onProgress?: OnProgress | undefined;
  /** Node's process.arch; default this machine's. */
  readonly arch?: string;
}

const META_PACKAGES: Readonly<Record<string, string>> = {
  x64: "linux-image-cloud-amd64",
  arm64: "linux-image-cloud-arm64",
};
/** What of a kernel's dependencies holds kernel files: newer releases split image and modules. */
const KERNEL_PACKAGE = /^linux-(?:image|modules|binary)-[0-9][a-z0-9.+-]*$/;
const MAX_PACKAGES = 4;
const NO_APT = "import a kernel by its file instead: `kiln kernel import /boot/vmlinuz-...`";

/**
 * Downloads the packages of the current cloud kernel into `directory` (made where missing); those that are there and
 * whole are not fetched again.
 *
 * @param scratch an empty private directory for apt's own state
 * @returns their paths
 * @throws KilnError unavailable `kernel-fetch-failed` with apt's words; failed_precondition `program-missing` without apt
 */
export async function fetchDebianKernel(
  directory: string,
  scratch: string,
  options: FetchOptions = {},
): Promise<string[]> {
  const { signal, onProgress } = options;
  const meta = metaPackage(options.arch ?? process.arch);
  try {
    return await withApt(scratch, { signal, onProgress, step: "kernel", instead: NO_APT }, async (apt) => {
      onProgress?.({ id: "kernel", status: "resolving", message: "asking apt" });
      return await apt.download(await resolvePackages(apt, meta), directory);
    });
  } catch (error) {
    if (!isAptFailure(error)) throw error;
    throw new KilnError(Code.Unavailable, `cannot fetch Debian's cloud kernel: ${error.message}`, {
      reason: "kernel-fetch-failed",
      hint: `check that apt reaches its mirror, or ${NO_APT}`,
      cause: error,
    });
  }
}

function metaPackage(arch: string): string {
  const meta = META_PACKAGES[arch];
  if (meta !== undefined) return meta;
  throw new KilnError(Code.Unimplemented, `Debian has no cloud kernel for ${arch}`, {
    reason: "kernel-fetch-failed",
    hint: NO_APT,
  });
}

/** The versioned packages behind the meta package, "name=version" each. */
async function resolvePackages(apt: Apt, meta: string): Promise<string[]> {
  const queue = [meta];
  const found = new Map<string, string>();
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const { version, depends } = await apt.show(name);
    if (name !== meta) found.set(name, `${name}=${version}`);
    for (const needed of depends) {
      if (KERNEL_PACKAGE.test(needed) && !found.has(needed) && !queue.includes(needed)) queue.push(needed);
    }
    if (found.size + queue.length > MAX_PACKAGES) break;
  }
  if (found.size === 0) throw noSuchPackage(`${meta} names no kernel package`);
  return [...found.values()];
}
