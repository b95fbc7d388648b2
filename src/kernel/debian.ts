// Debian's packaged cloud kernel through apt: resolved, downloaded and verified (signed index, sha256) by apt itself,
// as any user. Where the machine's package lists are empty or stale, apt works on private ones for this one call.

import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { Code, hasReason, KilnError } from "../base/errors.js";
import type { Abortable, OnProgress } from "../base/progress.js";
import { runProgram } from "./program.js";

export interface FetchOptions extends Abortable {
  readonly onProgress?: OnProgress | undefined;
  /** Node's process.arch; default this machine's. */
  readonly arch?: string;
}

/** One line of `apt-get --print-uris download`. */
export interface PackageFile {
  readonly file: string;
  readonly sizeBytes: number;
}

const META_PACKAGES: Readonly<Record<string, string>> = {
  x64: "linux-image-cloud-amd64",
  arm64: "linux-image-cloud-arm64",
};
/** What of a kernel's dependencies holds kernel files: newer releases split image and modules. */
const KERNEL_PACKAGE = /^linux-(?:image|modules|binary)-[0-9][a-z0-9.+-]*$/;
const MAX_PACKAGES = 4;
/** The private directories that apt writes to are closed to the user it drops to when run by root. */
const UNSANDBOXED = ["-o", "APT::Sandbox::User=root"];
/** Whatever the machine's configuration allows: an unsigned kernel is refused. */
const VERIFIED = ["-o", "APT::Get::AllowUnauthenticated=false"];
const NO_APT = "import a kernel by its file instead: `kiln kernel import /boot/vmlinuz-...`";

/**
 * Downloads the packages of the current cloud kernel into `directory` (made where missing; files that are there and
 * whole are not fetched again: apt checks their hash).
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
  await mkdir(directory, { recursive: true });
  try {
    return await download(directory, [], options);
  } catch (error) {
    if (!hasReason(error, "program-failed") && !hasReason(error, "no-such-package")) throw error;
  }
  try {
    const apt = await privateLists(scratch, options);
    return await download(directory, apt, options);
  } catch (error) {
    if (!(error instanceof KilnError) || !["program-failed", "no-such-package"].includes(error.reason)) {
      throw error;
    }
    throw new KilnError(Code.Unavailable, `cannot fetch Debian's cloud kernel: ${error.message}`, {
      reason: "kernel-fetch-failed",
      hint: `check that apt reaches its mirror, or ${NO_APT}`,
      cause: error,
    });
  }
}

/** apt options that point it at lists of its own, freshly updated. */
async function privateLists(scratch: string, options: FetchOptions): Promise<string[]> {
  options.onProgress?.({ id: "kernel", status: "resolving", message: "updating package lists" });
  for (const part of ["lists/partial", "cache/archives/partial"]) {
    await mkdir(join(scratch, part), { recursive: true });
  }
  const args = ["-o", `Dir::State::lists=${scratch}/lists`, "-o", `Dir::Cache=${scratch}/cache`];
  await apt(["-qq", ...UNSANDBOXED, ...args, "update"], options);
  return args;
}

async function download(directory: string, extra: string[], options: FetchOptions): Promise<string[]> {
  options.onProgress?.({ id: "kernel", status: "resolving", message: "asking apt" });
  const wanted = await resolvePackages(extra, options);
  const uris = await apt(["-qq", ...extra, "--print-uris", "download", ...wanted], options);
  const files = parseUris(uris);
  const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  let last = -1;
  const onStatusLine = (line: string) => {
    const percent = parseStatusLine(line);
    if (percent === undefined || percent === last) return;
    last = percent;
    options.onProgress?.({
      id: "kernel",
      status: "downloading",
      current: Math.round((total * percent) / 100),
      total,
      message: wanted.join(" "),
    });
  };
  const args = [
    "-qq",
    ...UNSANDBOXED,
    ...VERIFIED,
    "-o",
    "APT::Status-Fd=3",
    ...extra,
    "download",
    ...wanted,
  ];
  await apt(args, options, { cwd: directory, onStatusLine });
  return await downloaded(directory, files);
}

/** apt may decode the epoch's colon in names differently from what it printed: trust the directory. */
async function downloaded(directory: string, files: readonly PackageFile[]): Promise<string[]> {
  const present = new Set(await readdir(directory));
  return files.map(({ file }) => {
    if (present.has(file)) return join(directory, file);
    throw new KilnError(Code.Internal, `apt-get ended well but did not bring ${file}`, {
      reason: "program-failed",
    });
  });
}

/** The versioned packages behind the meta package, "name=version" each. */
async function resolvePackages(extra: string[], options: FetchOptions): Promise<string[]> {
  const arch = options.arch ?? process.arch;
  const meta = META_PACKAGES[arch];
  if (meta === undefined) {
    throw new KilnError(Code.Unimplemented, `Debian has no cloud kernel for ${arch}`, {
      reason: "kernel-fetch-failed",
      hint: NO_APT,
    });
  }
  const queue = [meta];
  const found = new Map<string, string>();
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const { version, depends } = parseShow(name, await aptCacheShow(name, extra, options));
    if (name !== meta) found.set(name, `${name}=${version}`);
    for (const needed of depends) {
      if (KERNEL_PACKAGE.test(needed) && !found.has(needed) && !queue.includes(needed)) queue.push(needed);
    }
    if (found.size + queue.length > MAX_PACKAGES) break;
  }
  if (found.size === 0) throw noSuchPackage(`${meta} names no kernel package`);
  return [...found.values()];
}

/** Version and names of the dependencies in `apt-cache show` output; alternatives count by their first. */
export function parseShow(name: string, text: string): { version: string; depends: string[] } {
  const field = (key: string) => new RegExp(`^${key}: (.*)$`, "m").exec(text)?.[1] ?? "";
  const version = field("Version");
  if (version === "") throw noSuchPackage(`apt knows no package ${name}`);
  const depends = [field("Pre-Depends"), field("Depends")]
    .join(",")
    .split(",")
    .map((entry) => entry.trim().split(/[\s|(:]/)[0] ?? "")
    .filter((entry) => entry !== "");
  return { version, depends };
}

/** `'http://...' file size SHA256:hash` per line. */
export function parseUris(text: string): PackageFile[] {
  const files: PackageFile[] = [];
  for (const line of text.split("\n")) {
    const match = /^'[^']*' (\S+\.deb) ([0-9]+)/.exec(line);
    if (match?.[1] === undefined || match[1].includes("/")) continue;
    files.push({ file: match[1], sizeBytes: Number(match[2]) });
  }
  if (files.length === 0) throw noSuchPackage("apt names no file to download");
  return files;
}

/** Percent of a `dlstatus:1:42.5:Retrieving file 1 of 1` line (apt's README.progress-reporting). */
export function parseStatusLine(line: string): number | undefined {
  const match = /^dlstatus:[^:]*:([0-9]+(?:\.[0-9]+)?):/.exec(line);
  return match === null ? undefined : Math.min(Number(match[1]), 100);
}

async function aptCacheShow(name: string, extra: string[], options: FetchOptions): Promise<string> {
  const args = [...extra, "show", "--no-all-versions", name];
  const result = await runProgram("apt-cache", args, { signal: options.signal, install: NO_APT });
  return result.stdout.toString("utf8");
}

async function apt(
  args: string[],
  options: FetchOptions,
  more: { cwd?: string; onStatusLine?: (line: string) => void } = {},
): Promise<string> {
  const result = await runProgram("apt-get", args, { signal: options.signal, install: NO_APT, ...more });
  return result.stdout.toString("utf8");
}

function noSuchPackage(message: string): KilnError {
  return new KilnError(Code.NotFound, message, { reason: "no-such-package" });
}
