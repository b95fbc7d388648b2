// The peer that the merge is compared with: Debian's umoci, as root.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TreeListing } from "../fixtures/images/tree-listing.js";
import { listHostTree } from "./host-tree.js";

const run = promisify(execFile);

/** Why the comparison can't be made here, or false where it can. */
export async function reasonToSkipUmoci(): Promise<string | false> {
  if (process.getuid?.() !== 0) return "umoci restores owners and devices as root only";
  try {
    await run("umoci", ["--version"]);
    await run("python3", ["--version"]);
    return false;
  } catch (error) {
    return `umoci and python3 are needed: ${String(error)}`;
  }
}

/** What umoci unpacks of an image into the new directory `bundle`. Rejects where umoci refuses. */
export async function umociTree(layout: string, tag: string, bundle: string): Promise<TreeListing> {
  await run("umoci", ["unpack", "--image", `${layout}:${tag}`, bundle]);
  return listHostTree(join(bundle, "rootfs"));
}
