// An import up to the point where it only has to be moved into place: everything slow happens here, in a staging
// directory that nobody else looks at.

import { createHash } from "node:crypto";
import { chmod, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import type { Logger } from "../base/log.js";
import { readPlainFile } from "../base/plain-file.js";
import { readBootModules } from "./boot-modules.js";
import { invalidKernel } from "./invalid-kernel.js";
import { type CopiedModules, checkRelease, copyModules, indexModules } from "./modules-directory.js";
import { MAX_VMLINUX } from "./payload.js";
import { runProgram } from "./program.js";
import type { KernelImportOptions, OwnKernel } from "./types.js";
import { type BootImage, readBootImage } from "./vmlinux.js";

/** What an import has found: a file to boot from, and where the modules of a release are. */
export interface KernelSource {
  readonly image: string;
  readonly description: string;
  readonly own?: OwnKernel | undefined;
  modules(release: string): Promise<string | undefined>;
}

/** `staging` holds vmlinux and, where there are modules, the directory of `modulesPlace`. */
export interface PreparedKernel {
  readonly staging: string;
  readonly boot: Omit<BootImage, "image">;
  /** sha256 of vmlinux. */
  readonly id: string;
  readonly imageBytes: number;
  readonly modules: CopiedModules | undefined;
}

/** Where in a staging directory the modules wait, indexed: depmod wants this form. */
export function modulesPlace(staging: string, release: string): string {
  return join(staging, "indexed/lib/modules", release);
}

/**
 * @param staging an existing private directory on the catalogue's file system
 * @throws KilnError `invalid-kernel`, `modules-mismatch`, `broken-module`, `modules-too-large`
 */
export async function prepareImport(
  source: KernelSource,
  staging: string,
  log: Logger,
  options: KernelImportOptions,
): Promise<PreparedKernel> {
  options.onProgress?.({ id: "kernel", status: "verifying" });
  const { image, ...boot } = await readBootImage(await readKernelFile(source.image), options);
  checkRelease(boot.release);
  const id = await writeImage(join(staging, "vmlinux"), image);
  const from = options.modulesDirectory ?? (await source.modules(boot.release));
  const modules =
    from === undefined ? undefined : await prepareModules(from, staging, boot.release, log, options);
  // One call for some thousand files: kernel.json must not survive a power cut that they don't.
  await runProgram("sync", ["--file-system", staging], { signal: options.signal });
  return { staging, boot, id, imageBytes: image.length, modules };
}

async function prepareModules(
  from: string,
  staging: string,
  release: string,
  log: Logger,
  options: KernelImportOptions,
): Promise<CopiedModules> {
  const target = modulesPlace(staging, release);
  await makeDirectory(join(staging, "indexed/lib/modules"), 0o755);
  const copied = await copyModules(from, target, options);
  const { always, scsi, pci } = await readBootModules(target, options);
  for (const module of [...always, ...scsi, ...pci]) {
    if (module.release === release || module.release === "") continue;
    throw new KilnError(
      Code.InvalidArgument,
      `the modules in ${from} are for ${module.release}, the kernel is ${release}`,
      { reason: "modules-mismatch", hint: `name the directory /lib/modules/${release}` },
    );
  }
  await indexModules(join(staging, "indexed"), release, log, options);
  return copied;
}

async function readKernelFile(path: string): Promise<Buffer> {
  const { size, ...info } = await stat(path).then((s) => ({
    size: s.size,
    file: s.isFile(),
    dir: s.isDirectory(),
  }));
  if (info.dir) throw invalidKernel("it is a directory");
  if (!info.file) throw invalidKernel("it is no regular file");
  if (size > MAX_VMLINUX) throw invalidKernel(`it is larger than ${MAX_VMLINUX} bytes`);
  return readPlainFile(path, MAX_VMLINUX);
}

/** Writes the image in steps, so that kilnd goes on serving; gives its sha256. Mode 0644: any VMM uid reads it. */
async function writeImage(path: string, image: Buffer): Promise<string> {
  const hash = createHash("sha256");
  const file = await open(path, "wx", 0o644);
  try {
    const step = 4 * 1024 * 1024;
    for (let at = 0; at < image.length; at += step) {
      const piece = image.subarray(at, at + step);
      hash.update(piece);
      await file.writeFile(piece);
    }
  } finally {
    await file.close();
  }
  await chmod(path, 0o644); // whatever the umask
  return hash.digest("hex");
}
