// The two sides of `kiln cp`: which is in a VM, which is local, which is a tar stream.

import { usageError } from "./usage-error.js";

/** One side of a copy. */
export type CopySide =
  | { readonly kind: "stream" }
  | { readonly kind: "local"; readonly path: string }
  | { readonly kind: "vm"; readonly vm: string; readonly path: string };

/**
 * "web:/etc" is in the VM web; "-" a tar stream; "/a:b", "./a:b" and "a" are local, as Docker has it: a colon after a
 * slash does not count.
 *
 * @throws KilnError invalid_argument `usage`
 */
export function parseCopySide(text: string): CopySide {
  if (text === "-") return { kind: "stream" };
  const match = /^([^/:.][^/:]*):([\s\S]*)$/.exec(text);
  if (match === null) {
    if (text === "") throw usageError("cp", "a path is empty");
    return { kind: "local", path: text };
  }
  const [, vm = "", path = ""] = match;
  if (path === "") throw usageError("cp", `"${text}" names no path in the VM`, `write ${vm}:/ for all of it`);
  // A relative path begins at the guest's root, as Docker has it.
  return { kind: "vm", vm, path: path.startsWith("/") ? path : `/${path}` };
}
