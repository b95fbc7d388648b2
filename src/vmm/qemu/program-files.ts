// What QEMU needs of the host's files to run a microvm: itself, its libraries, its accelerators (modules that it loads
// by name) with theirs, its firmware. And setpriv, which starts it in root's jail.

import { execFile } from "node:child_process";
import { readdir, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { exists } from "../../base/files.js";
import { planEnvironment } from "../../base/privileges.js";
import { findProgram, versionText } from "../../base/programs.js";
import { librariesOf } from "../jail/libraries.js";
import { Trees } from "../jail/tree.js";

const run = promisify(execFile);
const TIMEOUT_MS = 20_000;

const FIRMWARE = [
  "bios-microvm.bin",
  "qboot.rom",
  "linuxboot_dma.bin",
  "linuxboot.bin",
  "multiboot_dma.bin",
  "pvh.bin",
  "kvmvapic.bin",
];

/** Trees in which that QEMU has told its version from inside a jail. @param program its real path */
export function qemuTrees(program: string, cacheDirectory: string): Trees {
  return new Trees({
    directory: cacheDirectory,
    purpose: program,
    listFiles: () => listQemuFiles(program),
    // Its modules and firmware show at the first start only; libraries that are missing show at once.
    tryOut: async () => void (await versionText(program)),
  });
}

/** @param program QEMU's real path */
async function listQemuFiles(program: string): Promise<string[]> {
  const modules = await listModules(program);
  const setpriv = await findProgram("setpriv", planEnvironment().PATH);
  const programs = [program, ...(setpriv === undefined ? [] : [await realpath(setpriv)]), ...modules];
  const libraries = await librariesOf(programs);
  return [...new Set([...programs, ...libraries, ...(await listFirmware(program))])].sort();
}

/** accel-tcg-x86_64.so and its like, from the directories beside the program that builds and distributions use. */
async function listModules(program: string): Promise<string[]> {
  const prefix = dirname(dirname(program));
  const libraries = [join(prefix, "lib"), join(prefix, "lib64")];
  const multiarch = (await readdir(join(prefix, "lib")).catch(() => [])).filter((name) =>
    name.endsWith("-linux-gnu"),
  );
  const directories = [...libraries, ...multiarch.map((name) => join(prefix, "lib", name))];
  const found: string[] = [];
  const suffix = program.replace(/.*-/, "");
  for (const directory of directories.map((one) => join(one, "qemu"))) {
    for (const name of await readdir(directory).catch(() => [])) {
      if (name.startsWith("accel-") && name.endsWith(`-${suffix}.so`)) found.push(join(directory, name));
    }
  }
  return found;
}

async function listFirmware(program: string): Promise<string[]> {
  const { stdout } = await run(program, ["-L", "help"], { timeout: TIMEOUT_MS, env: planEnvironment() });
  const found: string[] = [];
  for (const directory of stdout.split("\n").filter((line) => line.startsWith("/"))) {
    for (const name of FIRMWARE) {
      if (await exists(join(directory, name))) found.push(join(directory, name));
    }
  }
  return found;
}
