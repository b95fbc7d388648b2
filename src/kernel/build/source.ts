// The kernel's sources as Debian packages them: which version, and its package, through apt. Packages stay in a
// directory of ours, so that a build without a network works once they are there.

import { readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { exists, makeDirectory } from "../../base/files.js";
import type { Abortable, OnProgress } from "../../base/progress.js";
import { type Apt, type AptOptions, isAptFailure, noSuchPackage, withApt } from "../apt.js";
import { scratchPath } from "./scratch.js";

/** One version of the sources. */
export interface KernelSources {
  /** "linux-source-6.1" */
  readonly package: string;
  /** "6.1.192-2" */
  readonly version: string;
}

export interface SourceOptions extends Abortable {
  readonly onProgress?: OnProgress | undefined;
}

const META_PACKAGE = "linux-source";
const VERSION = /^([0-9]{1,3}\.[0-9]{1,4})(?:\.[0-9]{1,5}(?:-[0-9A-Za-z.+~]{1,40})?)?$/;
const SERIES_PACKAGE = /^linux-source-([0-9]+\.[0-9]+)$/;
const PACKAGE_FILE = /^(linux-source-[0-9]+\.[0-9]+)_([0-9A-Za-z.+~-]+)_all\.deb$/;
const NO_APT = "build on Debian, or import a kernel: `kiln kernel import`";

/**
 * The series of a version that a user wrote: 6.1 of "6.1", "6.1.192" and "6.1.192-2".
 *
 * @throws KilnError invalid_argument `bad-kernel-version`
 */
export function seriesOf(version: string): string {
  const series = VERSION.exec(version)?.[1];
  if (series !== undefined) return series;
  throw new KilnError(Code.InvalidArgument, `"${version}" is no kernel version`, {
    reason: "bad-kernel-version",
    hint: "write 6.1, 6.1.192 or 6.1.192-2, or leave it out for Debian's current one",
  });
}

/** The newest of `versions` (newest first) that `wanted` names whole or begins; undefined where none does. */
export function pickVersion(versions: readonly string[], wanted: string): string | undefined {
  return versions.find((version) => version === wanted || /^[.+~-]/.test(afterPrefix(version, wanted)));
}

function afterPrefix(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : "";
}

/**
 * What to build.
 *
 * @param wanted "" for the current one of Debian's release
 * @param kept where packages are kept: where apt knows nothing, the newest of those will do
 * @throws KilnError not_found `no-such-kernel-version`; failed_precondition `program-missing` without apt
 */
export async function resolveSources(
  wanted: string,
  kept: string,
  options: SourceOptions,
): Promise<KernelSources> {
  const series = wanted === "" ? undefined : seriesOf(wanted);
  options.onProgress?.({ id: "source", status: "resolving", message: "asking apt" });
  try {
    return await asking(kept, options, async (apt) => {
      const name = series === undefined ? await currentPackage(apt) : `linux-source-${series}`;
      const version = pickVersion(await apt.versions(name), wanted === "" ? nameSeries(name) : wanted);
      if (version === undefined) throw noSuchPackage(`apt knows no ${name} of version ${wanted}`);
      return { package: name, version };
    });
  } catch (error) {
    if (!isAptFailure(error)) throw error;
    const local = await newestKept(kept, wanted);
    if (local !== undefined) return local;
    throw new KilnError(
      Code.NotFound,
      `find the sources of Linux ${wanted || "(current)"}: ${error.message}`,
      {
        reason: "no-such-kernel-version",
        hint: "`apt-cache madison linux-source-6.1` lists what apt knows",
        cause: error,
      },
    );
  }
}

/**
 * The package of these sources.
 *
 * @throws KilnError unavailable `kernel-fetch-failed`
 */
export async function fetchSources(
  sources: KernelSources,
  kept: string,
  options: SourceOptions,
): Promise<string> {
  const path = join(kept, packageFile(sources));
  if (await exists(path)) return path;
  // Fetched elsewhere: what has its name in `kept` is whole.
  const partial = await scratchIn(kept, "fetch");
  try {
    const [file = ""] = await asking(kept, options, (apt) =>
      apt.download([`${sources.package}=${sources.version}`], partial),
    );
    await rename(file, path);
    return path;
  } catch (error) {
    if (!isAptFailure(error)) throw error;
    throw new KilnError(
      Code.Unavailable,
      `cannot fetch ${sources.package} ${sources.version}: ${error.message}`,
      { reason: "kernel-fetch-failed", hint: "check that apt reaches its mirror", cause: error },
    );
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function asking<T>(
  kept: string,
  { signal, onProgress }: SourceOptions,
  body: (apt: Apt) => Promise<T>,
): Promise<T> {
  const scratch = await scratchIn(kept, "apt");
  try {
    const options: AptOptions = { signal, onProgress, step: "source", instead: NO_APT };
    return await withApt(scratch, options, body);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function scratchIn(directory: string, prefix: string): Promise<string> {
  const path = await scratchPath(directory, prefix);
  await makeDirectory(path, 0o755);
  return path;
}

/** What the meta package stands for. */
async function currentPackage(apt: Apt): Promise<string> {
  const { depends } = await apt.show(META_PACKAGE);
  const name = depends.find((each) => SERIES_PACKAGE.test(each));
  if (name === undefined) throw noSuchPackage(`${META_PACKAGE} names no sources`);
  return name;
}

function nameSeries(name: string): string {
  return SERIES_PACKAGE.exec(name)?.[1] ?? "";
}

function packageFile(sources: KernelSources): string {
  return `${sources.package}_${sources.version}_all.deb`;
}

async function newestKept(kept: string, wanted: string): Promise<KernelSources | undefined> {
  const there = (await readdir(kept))
    .map((name) => PACKAGE_FILE.exec(basename(name)))
    .map((match) => ({ package: match?.[1] ?? "", version: match?.[2] ?? "" }))
    .filter(({ version }) => version !== "")
    .sort((a, b) => b.version.localeCompare(a.version, "en", { numeric: true }));
  const version =
    wanted === ""
      ? there[0]?.version
      : pickVersion(
          there.map((each) => each.version),
          wanted,
        );
  return there.find((each) => each.version === version);
}
