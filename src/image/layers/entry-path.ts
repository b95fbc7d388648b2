// Names of tar entries as paths inside the image's root. Lexical only; symlinks are the tree's business.
//
// Policy: a leading "/" and "./" are dropped, as every runtime does, because layers with absolute names exist and mean
// the image's root. A name (or a hard link's target) whose ".." lead above that root is refused: containerd and umoci
// clamp it, but no builder writes one, so it is an attack or a bug, and never what it seems to be.

import { Code, KilnError } from "../../base/errors.js";
import { type LayerLimits, limitExceeded } from "./limits.js";
import { quoteName } from "./tar-errors.js";

/**
 * The path's components without "", "." and ".."; none for the root itself.
 *
 * @param path one char per byte
 * @param what "entry" or "hard link target", for errors
 * @throws KilnError invalid_argument `path-escape`; resource_exhausted `path-too-long`
 */
export function splitEntryPath(path: string, what: string, limits: LayerLimits): string[] {
  if (path.length > limits.maxPathBytes) throw pathTooLong(path, what, "maxPathBytes", limits);
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (names.pop() === undefined) throw pathEscape(path, what);
    } else if (name.length > limits.maxNameBytes) {
      throw pathTooLong(path, what, "maxNameBytes", limits);
    } else {
      names.push(name);
    }
  }
  return names;
}

function pathEscape(path: string, what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `${what} ${quoteName(path)} leads out of the image's root`, {
    reason: "path-escape",
    hint: "don't use this image: nothing that builds images writes such names",
  });
}

function pathTooLong(
  path: string,
  what: string,
  limit: "maxPathBytes" | "maxNameBytes",
  limits: LayerLimits,
): KilnError {
  const part = limit === "maxPathBytes" ? "the path" : "a name in it";
  const message = `${what} ${quoteName(path)}: ${part} is longer than ${limits[limit]} bytes`;
  return limitExceeded("path-too-long", message, limit);
}
