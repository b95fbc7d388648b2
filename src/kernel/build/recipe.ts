// How a kernel is made, as data: what make is asked for, in which environment, and the key under which the result is
// kept. Everything that can change a byte of the result is in the key.

import { createHash } from "node:crypto";

export type KernelArchitecture = "amd64" | "arm64";

/** What is different for each architecture. */
export interface KernelTarget {
  readonly architecture: KernelArchitecture;
  /** ARCH of the kernel's Makefile. */
  readonly makeArch: string;
  /** Prefix of a cross compiler: Debian's name of the architecture's tools. */
  readonly crossPrefix: string;
  /** What make builds. */
  readonly goal: string;
  /** Where that is in the tree. */
  readonly image: string;
  /** Symbols are stripped from an ELF; an arm64 Image has none. */
  readonly stripped: boolean;
  /** The fragment beside common.config. */
  readonly fragment: string;
  /** About how many objects are compiled, for the first progress bar. */
  readonly usualObjects: number;
}

export const KERNEL_TARGETS: Readonly<Record<KernelArchitecture, KernelTarget>> = {
  amd64: {
    architecture: "amd64",
    makeArch: "x86_64",
    crossPrefix: "x86_64-linux-gnu-",
    goal: "vmlinux",
    image: "vmlinux",
    stripped: true,
    fragment: "x86_64.config",
    usualObjects: 2132,
  },
  arm64: {
    architecture: "arm64",
    makeArch: "arm64",
    crossPrefix: "aarch64-linux-gnu-",
    goal: "Image",
    image: "arch/arm64/boot/Image",
    stripped: false,
    fragment: "arm64.config",
    usualObjects: 2200,
  },
};

/** Raise it when something below changes what comes out. */
const RECIPE_VERSION = 1;

/** Debian's own tools only: a compiler in /usr/local would give other bytes. */
export const TOOL_PATH = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] as const;

/** What the result depends on. */
export interface BuildInputs {
  readonly target: KernelTarget;
  /** "linux-source-6.1 6.1.192-2". */
  readonly source: string;
  /** sha256 of the texts of all fragments and patches. */
  readonly configuration: string;
  /** First lines of `gcc --version` and `ld --version`: the kernel's banner holds them. */
  readonly compiler: string;
  readonly linker: string;
}

/** The key of a result: 64 hex digits. */
export function buildKey(inputs: BuildInputs): string {
  const { target, source, configuration, compiler, linker } = inputs;
  const parts = [RECIPE_VERSION, target.architecture, source, configuration, compiler, linker];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** A hash of fragments and patches, whatever directory they lie in. */
export function hashConfiguration(
  fragments: readonly { readonly file: string; readonly text: string }[],
): string {
  const hash = createHash("sha256");
  for (const { file, text } of fragments) hash.update(JSON.stringify([file, text]));
  return hash.digest("hex");
}

/** Lays a patch over the tree: whole as it is written, or not at all. */
export function planPatch(places: BuildPlaces, file: string): string[] {
  return [
    "patch",
    ...[
      `--directory=${places.tree}`,
      "--strip=1",
      "--forward",
      "--batch",
      "--fuzz=0",
      "--no-backup-if-mismatch",
    ],
    `--input=${file}`,
  ];
}

/** Where a build happens. */
export interface BuildPlaces {
  /** The unpacked source. */
  readonly tree: string;
  /** Private to the build. */
  readonly home: string;
  readonly temporary: string;
}

/** Words after `make`. @param jobs how many compilers run at once */
export function planMake(
  target: KernelTarget,
  cross: boolean,
  places: BuildPlaces,
  goal: string,
  jobs = 1,
): string[] {
  return [
    `--directory=${places.tree}`,
    `--jobs=${jobs}`,
    `ARCH=${target.makeArch}`,
    ...(cross ? [`CROSS_COMPILE=${target.crossPrefix}`] : []),
    goal,
  ];
}

/**
 * The build's whole environment. Nothing of the caller's gets in; user, host, date and number of the build, which a
 * kernel carries in its banner, are fixed, and so is the local version, which would be guessed from a git checkout
 * around the tree.
 *
 * @param epoch seconds since 1970: the date of the source package
 */
export function planEnvironment(places: BuildPlaces, epoch: number): Record<string, string> {
  return {
    PATH: TOOL_PATH.join(":"),
    HOME: places.home,
    TMPDIR: places.temporary,
    LC_ALL: "C",
    TZ: "UTC",
    KBUILD_BUILD_USER: "kiln",
    KBUILD_BUILD_HOST: "kiln",
    KBUILD_BUILD_VERSION: "1",
    KBUILD_BUILD_TIMESTAMP: formatDate(epoch),
    SOURCE_DATE_EPOCH: String(epoch),
    LOCALVERSION: "",
  };
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** As `LC_ALL=C date -u` prints it: the kernel shows it in `uname -v` as it stands. */
function formatDate(epoch: number): string {
  const date = new Date(epoch * 1000);
  const day = String(date.getUTCDate()).padStart(2);
  const time = date.toISOString().slice(11, 19);
  return `${DAYS[date.getUTCDay()]} ${MONTHS[date.getUTCMonth()]} ${day} ${time} UTC ${date.getUTCFullYear()}`;
}
