// Platforms: "linux/arm/v7" to parts, normalised, matched against what an index offers (image-spec, image-index.md).

import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { ImageReason } from "./reasons.js";
import type { Platform } from "./types.js";

const NODE_ARCH: Readonly<Record<string, Platform>> = {
  x64: { os: "linux", architecture: "amd64" },
  ia32: { os: "linux", architecture: "386" },
  arm64: { os: "linux", architecture: "arm64" },
  arm: { os: "linux", architecture: "arm", variant: "v7" },
  riscv64: { os: "linux", architecture: "riscv64" },
  ppc64: { os: "linux", architecture: "ppc64le" },
  s390x: { os: "linux", architecture: "s390x" },
  loong64: { os: "linux", architecture: "loong64" },
};

const ALIASES: Readonly<Record<string, Omit<Platform, "os">>> = {
  x86_64: { architecture: "amd64" },
  "x86-64": { architecture: "amd64" },
  i386: { architecture: "386" },
  aarch64: { architecture: "arm64" },
  armhf: { architecture: "arm", variant: "v7" },
  armel: { architecture: "arm", variant: "v6" },
};

const PART = /^[A-Za-z0-9_.-]{1,32}$/;

/** The platform of images that this machine runs. @param arch Node's word, default this process's */
export function hostPlatform(arch: string = process.arch): Platform {
  return NODE_ARCH[arch] ?? { os: "linux", architecture: arch };
}

/**
 * Parses `linux/amd64`, `linux/arm/v7`, or an architecture alone.
 *
 * @throws KilnError invalid_argument `invalid-platform`, also for another operating system than Linux
 */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  if (parts.length > 3 || !parts.every((part) => PART.test(part)))
    throw invalid(text, "it is not OS/ARCH[/VARIANT]");
  const [first = "", second, third] = parts;
  const os = second === undefined ? "linux" : first.toLowerCase();
  if (os !== "linux") throw invalid(text, "kiln runs Linux images only");
  return normalisePlatform(defined({ os, architecture: second ?? first, variant: third }));
}

/** "linux/arm/v7" */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = normalisePlatform(platform);
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** One spelling for each: aliases resolved, arm64/v8 and amd64/v1 without their variant, arm with one. */
export function normalisePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const word = platform.architecture.toLowerCase();
  const alias = ALIASES[word];
  const architecture = alias?.architecture ?? word;
  const variant = normaliseVariant(architecture, platform.variant?.toLowerCase() || alias?.variant);
  return defined({ os, architecture, variant });
}

/**
 * How well an image for `offered` runs where `wanted` is asked for: 0 is exact, more is worse, undefined is not at all.
 * As containerd matches: an ARM v7 machine runs v6 and v5 too, an amd64/v3 one v2, v1 and last of all 386, an
 * arm64/v9 one v8.
 */
export function rankPlatform(wanted: Platform, offered: Platform): number | undefined {
  const want = normalisePlatform(wanted);
  const have = normalisePlatform(offered);
  if (want.os !== have.os) return undefined;
  if (want.architecture === "amd64" && have.architecture === "386") return LAST_RANK;
  if (want.architecture !== have.architecture) return undefined;
  if (want.variant === have.variant) return 0;
  const gap = variantLevel(want) - variantLevel(have);
  return gap > 0 ? gap : undefined;
}

/** Behind every level of the wanted architecture itself. */
const LAST_RANK = 100;

const LEVELS: Readonly<Record<string, { readonly plain: string; readonly known: RegExp }>> = {
  amd64: { plain: "v1", known: /^v([1-4])$/ },
  arm: { plain: "v7", known: /^v([5-8])$/ },
  arm64: { plain: "v8", known: /^v([89])(?:\.([0-9]))?$/ },
};

/** NaN for a variant that nothing is known of: it matches itself only. */
function variantLevel({ architecture, variant }: Platform): number {
  const levels = LEVELS[architecture];
  const [, major, minor = "0"] = levels?.known.exec(variant ?? levels.plain) ?? [];
  return major === undefined ? Number.NaN : Number(major) * 10 + Number(minor);
}

function normaliseVariant(architecture: string, variant: string | undefined): string | undefined {
  const versioned = variant !== undefined && /^[0-9]/.test(variant) ? `v${variant}` : variant;
  if (architecture === "arm") return versioned ?? "v7";
  if (architecture === "arm64" && (versioned === "v8" || versioned === "v8.0")) return undefined;
  if (architecture === "arm64" && versioned === "v9.0") return "v9";
  if (architecture === "amd64" && versioned === "v1") return undefined;
  return versioned;
}

function invalid(text: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `platform ${JSON.stringify(text.slice(0, 100))}: ${why}`, {
    reason: ImageReason.InvalidPlatform,
    hint: "write for example linux/amd64, linux/arm64 or linux/arm/v7",
  });
}
