// Finds a kernel and its modules in an unpacked tree (a Debian package, an OCI kernel image). The tree is hostile:
// its symlinks are followed inside it, never outside.

import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/errors.js";
import { invalidKernel } from "./invalid-kernel.js";

const MAX_LINKS = 40;
/** As Ignite's images have it; then as distributions do. */
const IMAGE_NAMES = [/^vmlinux$/, /^vmlinux-/, /^vmlinuz$/, /^vmlinuz-/, /^bzImage/, /^Image/];
const BOOT = "boot";
const MODULE_ROOTS = ["lib/modules", "usr/lib/modules"];

/**
 * The file to boot from, packed or not: /boot/vmlinux first, then what distributions call it.
 *
 * @throws KilnError `invalid-kernel` where there is none
 */
export async function findImage(root: string): Promise<string> {
  const boot = await resolveInside(root, BOOT);
  const names = boot === undefined ? [] : (await listDirectory(boot)).sort();
  for (const pattern of IMAGE_NAMES) {
    for (const name of names.filter((candidate) => pattern.test(candidate))) {
      const path = await resolveInside(root, `${BOOT}/${name}`);
      if (path !== undefined && (await lstat(path)).isFile()) return path;
    }
  }
  throw invalidKernel(`there is no /boot/vmlinux and no /boot/vmlinuz in ${root}`);
}

/** The modules of that release; undefined where the tree has none. */
export async function findModules(root: string, release: string): Promise<string | undefined> {
  for (const place of MODULE_ROOTS) {
    const path = await resolveInside(root, `${place}/${release}`);
    if (path !== undefined && (await lstat(path)).isDirectory()) return path;
  }
  return undefined;
}

/**
 * Resolves `path` below `root` with every symlink taken as if `root` were "/".
 *
 * @returns the host path of what is there, which is no symlink; undefined where there is nothing
 */
export async function resolveInside(root: string, path: string): Promise<string | undefined> {
  const pending = path.split("/");
  const resolved: string[] = [];
  let links = 0;
  for (let part = pending.shift(); part !== undefined; part = pending.shift()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      resolved.pop(); // ".." of the root is the root
      continue;
    }
    const at = join(root, ...resolved, part);
    const target = await linkTarget(at);
    if (target === undefined) return undefined;
    if (target === null) {
      resolved.push(part);
      continue;
    }
    links++;
    if (links > MAX_LINKS) return undefined;
    if (target.startsWith("/")) resolved.length = 0;
    pending.unshift(...target.split("/"));
  }
  return join(root, ...resolved);
}

/** null: no symlink; undefined: nothing there. */
async function linkTarget(path: string): Promise<string | null | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : null;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

async function listDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
}
