// What a build needs of the host: programs and headers, each known by a file, with the Debian package that brings it.
// Only what kiln's own configuration needs: no OpenSSL (nothing is signed), no rsync, cpio, kmod (no modules).

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import type { Abortable } from "../../base/progress.js";
import { runProgram } from "../program.js";
import { type KernelArchitecture, type KernelTarget, TOOL_PATH } from "./recipe.js";

/** Compiler and linker as they name themselves. */
export interface Toolchain {
  readonly compiler: string;
  readonly linker: string;
  /** Prefix of their names: "" or that of a cross compiler. */
  readonly prefix: string;
}

interface Need {
  readonly package: string;
  /** Any of these files. */
  readonly files: readonly string[];
}

const program = (name: string) => TOOL_PATH.map((directory) => join(directory, name));

const ALWAYS: readonly Need[] = [
  { package: "bc", files: program("bc") },
  { package: "bison", files: program("bison") },
  { package: "flex", files: program("flex") },
  { package: "gcc", files: program("gcc") },
  { package: "libc6-dev", files: ["/usr/include/stdio.h"] },
  { package: "make", files: program("make") },
  { package: "patch", files: program("patch") },
  { package: "perl", files: program("perl") },
  { package: "xz-utils", files: program("xz") },
];

const NODE_ARCHITECTURES: Readonly<Record<string, KernelArchitecture>> = { x64: "amd64", arm64: "arm64" };

/** The programs and headers for a target. Those of the build's own host are always needed: Kbuild compiles tools. */
export function planNeeds(target: KernelTarget, cross: boolean): Need[] {
  const debianName = target.crossPrefix.replace(/-$/, "").replaceAll("_", "-");
  return [
    ...ALWAYS,
    // objtool, which checks and annotates every x86 object.
    ...(target.makeArch === "x86_64" ? [{ package: "libelf-dev", files: ["/usr/include/gelf.h"] }] : []),
    ...(cross ? [{ package: `gcc-${debianName}`, files: program(`${target.crossPrefix}gcc`) }] : []),
  ];
}

/** This machine's. @throws KilnError unimplemented `no-kernel-for-host` */
export function hostArchitecture(arch: string = process.arch): KernelArchitecture {
  const architecture = NODE_ARCHITECTURES[arch];
  if (architecture !== undefined) return architecture;
  throw new KilnError(Code.Unimplemented, `kiln has no kernel for ${arch}`, { reason: "no-kernel-for-host" });
}

/** True where the target is not what this machine is. */
export function isCross(target: KernelTarget, arch: string = process.arch): boolean {
  return NODE_ARCHITECTURES[arch] !== target.architecture;
}

/**
 * Looks for all that is needed and asks the compiler what it is.
 *
 * @throws KilnError failed_precondition `build-tools-missing`, with the one line that installs them
 */
export async function findToolchain(target: KernelTarget, options: Abortable = {}): Promise<Toolchain> {
  const cross = isCross(target);
  const missing = planNeeds(target, cross).filter(({ files }) => !files.some((file) => existsSync(file)));
  if (missing.length > 0) throw toolsMissing(missing.map((need) => need.package));
  const prefix = cross ? target.crossPrefix : "";
  const [compiler, linker] = await Promise.all([
    firstLine(`${prefix}gcc`, options),
    firstLine(`${prefix}ld`, options),
  ]);
  return { compiler, linker, prefix };
}

async function firstLine(name: string, options: Abortable): Promise<string> {
  const path = program(name).find((file) => existsSync(file)) ?? name;
  const { stdout } = await runProgram(path, ["--version"], { signal: options.signal });
  return (stdout.toString("utf8").split("\n")[0] ?? "").trim();
}

/** The error that says how to install them. */
export function toolsMissing(packages: readonly string[]): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `a kernel can't be built here: ${packages.join(", ")} ${packages.length === 1 ? "is" : "are"} not installed`,
    {
      reason: "build-tools-missing",
      hint: `sudo apt-get install --no-install-recommends ${packages.join(" ")}`,
      details: { packages: packages.join(" ") },
    },
  );
}
