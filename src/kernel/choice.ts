// Which kernel is meant: the default and why, and the words "kiln" and "debian", which stand for the newest of each.

import { Code, KilnError } from "../base/errors.js";
import { resolveNamed } from "../base/ids.js";
import type { StoredKernel } from "./types.js";

/** A kernel to boot, and why it is this one. */
export interface ChosenKernel {
  readonly kernel: StoredKernel;
  readonly why: string;
}

/** What Debian's cloud kernels are called, whichever way they came in. */
const DEBIAN_RELEASE = /-cloud-(?:amd64|arm64)$/;
const DEBIAN_SOURCE = /^debian\b/;

/** Words for a kernel by who made it. */
const MAKERS: Readonly<Record<string, { isBy: (kernel: StoredKernel) => boolean; hint: string }>> = {
  kiln: {
    isBy: (kernel) => kernel.own !== undefined,
    hint: "`kiln kernel build` makes it, in about a quarter of an hour",
  },
  debian: {
    isBy: (kernel) => DEBIAN_SOURCE.test(kernel.source) || DEBIAN_RELEASE.test(kernel.release),
    hint: "`kiln kernel import debian` brings it",
  },
};

/**
 * @param all oldest first
 * @param set id of the one that a user has set
 * @param architecture of this host: another one's kernels are never the default
 */
export function chooseDefault(
  all: readonly StoredKernel[],
  set: string | undefined,
  architecture: string,
): ChosenKernel | undefined {
  const chosen = all.find((kernel) => kernel.id === set);
  if (chosen !== undefined) return { kernel: chosen, why: "set as the default" };
  const bootable = all.filter((kernel) => kernel.architecture === architecture);
  const own = bootable.filter((kernel) => isBy("kiln", kernel)).at(-1);
  if (own !== undefined) return { kernel: own, why: "kiln's own" };
  const debian = bootable.filter((kernel) => isBy("debian", kernel)).at(-1);
  const build = "`kiln kernel build` makes kiln's own, which boots faster";
  if (debian !== undefined) return { kernel: debian, why: `Debian's: ${build}` };
  const [first] = bootable;
  return first && { kernel: first, why: `the first that was imported: ${build}` };
}

/**
 * By id, id prefix or name; then by the words "kiln" and "debian".
 *
 * @param all oldest first
 * @throws KilnError not_found `kernel-not-found`
 */
export function findKernel(key: string, all: readonly StoredKernel[], architecture: string): StoredKernel {
  const maker = Object.hasOwn(MAKERS, key) ? MAKERS[key] : undefined;
  if (maker === undefined || all.some(({ name }) => name === key)) return resolveNamed("kernel", key, all);
  const found = all.filter((kernel) => kernel.architecture === architecture && maker.isBy(kernel)).at(-1);
  if (found !== undefined) return found;
  throw new KilnError(
    Code.NotFound,
    `there is no kernel of ${key === "kiln" ? "kiln's own" : "Debian's"} here`,
    {
      reason: "kernel-not-found",
      hint: maker.hint,
    },
  );
}

function isBy(maker: string, kernel: StoredKernel): boolean {
  return MAKERS[maker]?.isBy(kernel) ?? false;
}
