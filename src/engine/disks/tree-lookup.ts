// Looks a path up in a merged tree as the kernel would inside that root: symlinks followed, never out of it. Pure;
// the tree comes from a hostile image, so the number of links is bounded.

import type { DirectoryInode, Inode } from "../../base/tree.js";

const MOST_LINKS = 40; // as Linux: MAXSYMLINKS

/** The inode that `path` leads to; undefined where it leads nowhere. */
export function lookUp(root: DirectoryInode, path: string): Inode | undefined {
  const pending = path.split("/").reverse();
  const trail: DirectoryInode[] = [root];
  let links = 0;
  for (let word = pending.pop(); word !== undefined; word = pending.pop()) {
    const here = trail.at(-1) ?? root;
    if (word === "" || word === ".") continue;
    if (word === "..") {
      if (trail.length > 1) trail.pop();
      continue;
    }
    const inode = here.entries.get(word);
    if (inode?.type === "symlink") {
      if (++links > MOST_LINKS) return undefined;
      if (inode.target.startsWith("/")) trail.length = 1;
      pending.push(...inode.target.split("/").reverse());
    } else if (inode?.type === "directory") {
      trail.push(inode);
    } else {
      return pending.some((rest) => rest !== "" && rest !== ".") ? undefined : inode;
    }
  }
  return trail.at(-1);
}

/** True where the image can boot as a system: /sbin/init leads to an executable file. */
export function hasInit(root: DirectoryInode): boolean {
  const inode = lookUp(root, "/sbin/init");
  return inode?.type === "file" && (inode.mode & 0o111) !== 0;
}
