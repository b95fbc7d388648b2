// kiln's configuration of one architecture: its fragments read, parsed and hashed.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { KilnError } from "../../base/errors.js";
import { type FragmentLine, joinFragments, parseFragment } from "./fragment.js";
import { hashConfiguration, KERNEL_TARGETS, type KernelArchitecture, type KernelTarget } from "./recipe.js";

export interface Configuration {
  readonly lines: readonly FragmentLine[];
  /** sha256 of the fragments' texts. */
  readonly hash: string;
}

const COMMON = "common.config";

/**
 * @param directory holds common.config and one fragment for each architecture
 * @throws KilnError not_found; invalid_argument `bad-kernel-config`
 */
export async function readConfiguration(directory: string, target: KernelTarget): Promise<Configuration> {
  const read = async (file: string) => ({ file, text: await readFragment(directory, file) });
  const fragments = await Promise.all([COMMON, target.fragment].map(read));
  const lines = joinFragments(fragments.map(({ file, text }) => parseFragment(text, file)));
  return { lines, hash: hashConfiguration(fragments) };
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
