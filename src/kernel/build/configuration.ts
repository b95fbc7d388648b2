// kiln's configuration of one architecture: its fragments read, parsed and hashed, with the patches beside them.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, KilnError } from "../../base/errors.js";
import { type FragmentLine, joinFragments, parseFragment } from "./fragment.js";
import { hashConfiguration, KERNEL_TARGETS, type KernelArchitecture, type KernelTarget } from "./recipe.js";

export interface Configuration {
  readonly lines: readonly FragmentLine[];
  /** In the order in which they are laid over the sources; of all series. */
  readonly patches: readonly KernelPatch[];
  /** sha256 of the texts of fragments and patches. */
  readonly hash: string;
}

/** One change of the sources of one series. */
export interface KernelPatch {
  /** "6.1" */
  readonly series: string;
  /** "9p-nanoseconds.patch" */
  readonly name: string;
  readonly text: string;
}

const COMMON = "common.config";
const PATCHES = "patches";

/**
 * @param directory holds common.config and one fragment for each architecture
 * @throws KilnError not_found; invalid_argument `bad-kernel-config`
 */
export async function readConfiguration(directory: string, target: KernelTarget): Promise<Configuration> {
  const read = async (file: string) => ({ file, text: await readFragment(directory, file) });
  const fragments = await Promise.all([COMMON, target.fragment].map(read));
  const lines = joinFragments(fragments.map(({ file, text }) => parseFragment(text, file)));
  const patches = await readPatches(join(directory, PATCHES));
  const named = patches.map(({ series, name, text }) => ({ file: join(PATCHES, series, name), text }));
  return { lines, patches, hash: hashConfiguration([...fragments, ...named]) };
}

/** Those for the sources of one package, "linux-source-6.1". */
export function patchesFor(patches: readonly KernelPatch[], sourcePackage: string): KernelPatch[] {
  return patches.filter(({ series }) => sourcePackage === `linux-source-${series}`);
}

/** `<series>/<name>.patch`, sorted. A directory without any is none. */
async function readPatches(directory: string): Promise<KernelPatch[]> {
  const patches: KernelPatch[] = [];
  for (const series of await namesIn(directory)) {
    for (const name of await namesIn(join(directory, series))) {
      if (!name.endsWith(".patch")) continue;
      patches.push({ series, name, text: await readFragment(directory, join(series, name)) });
    }
  }
  return patches;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw KilnError.from(error, "read the kernel's patches");
  }
}

/** The hash alone: what tells one of kiln's own kernels from one of another configuration. */
export async function configurationHash(
  directory: string,
  architecture: KernelArchitecture,
): Promise<string> {
  return (await readConfiguration(directory, KERNEL_TARGETS[architecture])).hash;
}

async function readFragment(directory: string, file: string): Promise<string> {
  try {
    return await readFile(join(directory, file), "utf8");
  } catch (error) {
    throw KilnError.from(error, "read the kernel's configuration");
  }
}
