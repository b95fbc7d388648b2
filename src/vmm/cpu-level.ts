// Which of x86-64's levels (the psABI's v1 to v4) a processor has: compilers build programs, and image makers whole
// images, for one of them.

import { readFile } from "node:fs/promises";

/** What each level adds, in the words of /proc/cpuinfo. */
const LEVELS: readonly (readonly string[])[] = [
  ["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"],
  ["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"],
  ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
];

/** QEMU's emulated `max` since 7.2, the oldest that kiln takes: AVX2 and its company, no AVX-512. */
export const EMULATED_CPU_LEVEL = 3;

/** 1 to 4. @param cpuinfo the text of /proc/cpuinfo */
export function x86Level(cpuinfo: string): number {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/));
  const missing = LEVELS.findIndex((added) => !added.every((flag) => flags.has(flag)));
  return missing < 0 ? LEVELS.length + 1 : missing + 1;
}

/** Of guests that are given this host's own processor. */
export async function hostCpuLevel(): Promise<number> {
  return x86Level(await readFile("/proc/cpuinfo", "utf8").catch(() => ""));
}
