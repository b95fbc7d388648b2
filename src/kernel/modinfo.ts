// What a module says of itself: the NUL-separated key=value pairs of its .modinfo section. `depends` is written by
// the kernel's build from the symbols the module uses, so load order needs no modules.dep, which Debian's packages
// do not carry (their install script runs depmod).

import { readElfHeader, readSection } from "./elf.js";

export interface ModuleInfo {
  readonly name: string;
  /** Modules whose symbols this one needs. */
  readonly depends: readonly string[];
  /** Wanted before this one, but it loads without them (`softdep=pre: ...`). */
  readonly softPre: readonly string[];
  /** The kernel it was built for (`vermagic`); "" where it does not say. */
  readonly release: string;
}

const MAX_MODINFO = 256 * 1024;
const ET_REL = 1;

/** "virtio-rng" and "virtio_rng" are one module: the kernel writes underscores. */
export function moduleName(text: string): string {
  return text.replaceAll("-", "_");
}

/** @returns undefined for bytes that are no 64-bit module */
export function readModuleInfo(file: Buffer): ModuleInfo | undefined {
  const header = readElfHeader(file);
  if (header === undefined || !header.is64 || !header.littleEndian || header.type !== ET_REL)
    return undefined;
  const section = readSection(file, ".modinfo");
  if (section === undefined || section.length > MAX_MODINFO) return undefined;
  let name = "";
  let release = "";
  const depends: string[] = [];
  const softPre: string[] = [];
  for (const pair of section.toString("latin1").split("\0")) {
    const separator = pair.indexOf("=");
    const value = pair.slice(separator + 1);
    switch (pair.slice(0, Math.max(separator, 0))) {
      case "name":
        name = moduleName(value);
        break;
      case "vermagic":
        release = value.split(" ")[0] ?? "";
        break;
      case "depends":
        depends.push(...words(value, ","));
        break;
      case "softdep":
        softPre.push(...softdepsBefore(value));
        break;
    }
  }
  return name === "" ? undefined : { name, depends, softPre, release };
}

/** "pre: a b post: c" to ["a", "b"] (modprobe.d(5)). */
function softdepsBefore(value: string): string[] {
  const before = /(?:^|\s)pre:(.*?)(?=\spost:|$)/.exec(value)?.[1] ?? "";
  return words(before, /\s+/);
}

function words(text: string, separator: string | RegExp): string[] {
  return text
    .split(separator)
    .filter((word) => /^[A-Za-z0-9_-]{1,64}$/.test(word))
    .map(moduleName);
}
