// Debian packages through apt: resolved, downloaded and verified (signed index, sha256) by apt itself, as any user.
// Where the machine's package lists are empty or stale, apt works on private ones for one call. Refuses to install.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import type { Abortable, OnProgress } from "../base/progress.js";
import { runProgram } from "./program.js";

export interface AptOptions extends Abortable {
  readonly onProgress?: OnProgress | undefined;
  /** Id of the progress updates: "kernel", "source". */
  readonly step: string;
  /** What to do instead, where apt is missing. */
  readonly instead: string;
}

/** apt with one set of package lists. */
export interface Apt {
  /** Version and dependencies of a package. @throws KilnError not_found `no-such-package` */
  show(name: string): Promise<{ version: string; depends: string[] }>;
  /** All versions of a package, newest first. @throws KilnError not_found `no-such-package` */
  versions(name: string): Promise<string[]>;
  /**
   * Downloads packages ("name=version") into `directory` (made where missing); files that are there and whole are not
   * fetched again: apt checks their hash.
   *
   * @returns their paths
   */
  download(packages: readonly string[], directory: string): Promise<string[]>;
}

/** One line of `apt-get --print-uris download`. */
export interface PackageFile {
  readonly file: string;
  readonly sizeBytes: number;
}

/** The private directories that apt writes to are closed to the user it drops to when run by root. */
const UNSANDBOXED = ["-o", "APT::Sandbox::User=root"];
/** Whatever the machine's configuration allows: an unsigned package is refused. */
const VERIFIED = ["-o", "APT::Get::AllowUnauthenticated=false"];

/**
 * Runs `body` with the machine's package lists, and where they don't have what it asks for, again with fresh private
 * ones.
 *
 * @param scratch an empty private directory for apt's own state
 * @throws KilnError failed_precondition `program-missing` without apt; `program-failed`, `no-such-package`
 */
export async function withApt<T>(
  scratch: string,
  options: AptOptions,
  body: (apt: Apt) => Promise<T>,
): Promise<T> {
  try {
    return await body(new AptRun([], options));
  } catch (error) {
    if (!isAptFailure(error)) throw error;
  }
  return await body(new AptRun(await privateLists(scratch, options), options));
}

/** True where apt ran and could not do what was asked. */
export function isAptFailure(error: unknown): error is KilnError {
  return hasReason(error, "program-failed") || hasReason(error, "no-such-package");
}

/** apt options that point it at lists of its own, freshly updated. */
async function privateLists(scratch: string, options: AptOptions): Promise<string[]> {
  options.onProgress?.({ id: options.step, status: "resolving", message: "updating package lists" });
  for (const part of ["lists/partial", "cache/archives/partial"]) {
    await makeDirectory(join(scratch, part), 0o755);
  }
  const args = ["-o", `Dir::State::lists=${scratch}/lists`, "-o", `Dir::Cache=${scratch}/cache`];
  const { signal, instead } = options;
  await runProgram("apt-get", ["-qq", ...UNSANDBOXED, ...args, "update"], { signal, install: instead });
  return args;
}

class AptRun implements Apt {
  readonly #lists: readonly string[];
  readonly #options: AptOptions;

  constructor(lists: readonly string[], options: AptOptions) {
    this.#lists = lists;
    this.#options = options;
  }

  async show(name: string): Promise<{ version: string; depends: string[] }> {
    return parseShow(name, await this.#run("apt-cache", ["show", "--no-all-versions", name]));
  }

  async versions(name: string): Promise<string[]> {
    return parseMadison(name, await this.#run("apt-cache", ["madison", name]));
  }

  async download(packages: readonly string[], directory: string): Promise<string[]> {
    await makeDirectory(directory, 0o755);
    const files = parseUris(await this.#run("apt-get", ["-qq", "--print-uris", "download", ...packages]));
    const args = ["-qq", ...UNSANDBOXED, ...VERIFIED, "-o", "APT::Status-Fd=3", "download", ...packages];
    const onStatusLine = this.#report(packages, files);
    await this.#run("apt-get", args, { cwd: directory, onStatusLine });
    return await downloaded(directory, files);
  }

  #report(packages: readonly string[], files: readonly PackageFile[]): (line: string) => void {
    const { step, onProgress } = this.#options;
    const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    let last = -1;
    return (line) => {
      const percent = parseStatusLine(line);
      if (percent === undefined || percent === last) return;
      last = percent;
      const current = Math.round((total * percent) / 100);
      onProgress?.({ id: step, status: "downloading", current, total, message: packages.join(" ") });
    };
  }

  async #run(
    program: "apt-get" | "apt-cache",
    args: readonly string[],
    more: { cwd?: string; onStatusLine?: (line: string) => void } = {},
  ): Promise<string> {
    const { signal, instead } = this.#options;
    const result = await runProgram(program, [...this.#lists, ...args], {
      signal,
      install: instead,
      ...more,
    });
    return result.stdout.toString("utf8");
  }
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

/** `name | version | where` per line, newest first; a version that several sources have counts once. */
export function parseMadison(name: string, text: string): string[] {
  const versions = new Set<string>();
  for (const line of text.split("\n")) {
    const [of, version, where] = line.split("|").map((part) => part.trim());
    if (of === name && version !== undefined && version !== "" && where?.endsWith(" Packages") === true) {
      versions.add(version);
    }
  }
  if (versions.size === 0) throw noSuchPackage(`apt knows no package ${name}`);
  return [...versions];
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

export function noSuchPackage(message: string): KilnError {
  return new KilnError(Code.NotFound, message, { reason: "no-such-package" });
}
