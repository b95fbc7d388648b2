// Gives every inode of a tree its number, the same for the same tree: directories in order of their names (bytes),
// the entries of one directory together. Checks the tree on the way: what a kernel would refuse is refused here.

import { Code, KilnError } from "../../base/errors.js";
import type { DirectoryInode, Inode } from "../../base/tree.js";
import type { DirectoryEntry } from "./directory.js";
import { EntryType, FIRST_FREE_INODE, MAX_LINKS, MAX_NAME, MAX_SYMLINK, ROOT_INODE } from "./format.js";

/** An inode and what the tree around it says about it. */
export interface NumberedInode {
  readonly inode: Inode;
  readonly number: number;
  /** Of the directory where it was met first. */
  readonly parent: number;
  /** Its name there, one char per byte. */
  readonly name: string;
  /** Names of a file; subdirectories and two of a directory. */
  links: number;
  /** Of a directory: what it holds, in order of names. */
  entries: readonly DirectoryEntry[];
}

export interface NumberedTree {
  readonly root: NumberedInode;
  /** From FIRST_FREE_INODE on, without gaps. */
  readonly inodes: readonly NumberedInode[];
}

const LOST_AND_FOUND = "lost+found";
const NO_ENTRIES: readonly DirectoryEntry[] = [];

/**
 * @param lostAndFound the directory to add where the root has none: e2fsck needs its place
 * @throws KilnError invalid_argument `bad-file-name`, `bad-symlink`, `too-many-links`, `bad-owner`, `bad-device`;
 *   internal `not-a-tree` where a directory is met twice
 */
export function numberTree(root: DirectoryInode, lostAndFound: DirectoryInode): NumberedTree {
  return new Numbering(lostAndFound).run(root);
}

/** The path of a numbered inode for messages, with unprintable bytes escaped. */
export function pathOf(tree: NumberedTree, node: NumberedInode): string {
  const names: string[] = [];
  for (let at = node; at.number !== ROOT_INODE && names.length < 64; ) {
    names.unshift(at.name);
    at = (at.parent === ROOT_INODE ? undefined : tree.inodes[at.parent - FIRST_FREE_INODE]) ?? tree.root;
  }
  return JSON.stringify(`/${names.join("/")}`);
}

class Numbering {
  readonly #numbers = new Map<Inode, NumberedInode>();
  readonly #inodes: NumberedInode[] = [];
  readonly #lostAndFound: DirectoryInode;

  constructor(lostAndFound: DirectoryInode) {
    this.#lostAndFound = lostAndFound;
  }

  run(inode: DirectoryInode): NumberedTree {
    const root: NumberedInode = {
      inode,
      number: ROOT_INODE,
      parent: ROOT_INODE,
      name: "",
      links: 2,
      entries: NO_ENTRIES,
    };
    this.#numbers.set(inode, root);
    const entries = new Map(inode.entries);
    if (!entries.has(LOST_AND_FOUND)) entries.set(LOST_AND_FOUND, this.#lostAndFound);
    // A stack, not recursion: the depth of a tree is the image's choice.
    const pending: NumberedInode[] = [];
    this.#enter(root, entries, pending);
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (node.inode.type === "directory") this.#enter(node, node.inode.entries, pending);
    }
    return { root, inodes: this.#inodes };
  }

  /** Numbers what a directory holds and notes its subdirectories as pending. */
  #enter(parent: NumberedInode, entries: ReadonlyMap<string, Inode>, pending: NumberedInode[]): void {
    const listed: DirectoryEntry[] = [];
    // Without a comparator, strings are sorted by their chars: the bytes of the names.
    for (const name of [...entries.keys()].sort()) {
      const inode = entries.get(name);
      if (inode === undefined) continue;
      checkName(name);
      const known = this.#numbers.get(inode);
      const node = known ?? this.#add(inode, parent.number, name);
      listed.push({ name, inode: node.number, type: EntryType[inode.type] });
      if (inode.type === "directory") {
        if (known !== undefined) throw notATree(name);
        parent.links++;
        pending.push(node);
      } else if (++node.links > MAX_LINKS) {
        throw invalid("too-many-links", `${show(name)} has more than ${MAX_LINKS} hard links`);
      }
    }
    parent.entries = listed;
  }

  #add(inode: Inode, parent: number, name: string): NumberedInode {
    checkInode(inode, name);
    const number = FIRST_FREE_INODE + this.#inodes.length;
    const links = inode.type === "directory" ? 2 : 0;
    const node: NumberedInode = { inode, number, parent, name, links, entries: NO_ENTRIES };
    this.#numbers.set(inode, node);
    this.#inodes.push(node);
    return node;
  }
}

function checkName(name: string): void {
  const bad = name.length === 0 || name.length > MAX_NAME || name === "." || name === "..";
  if (bad || /[/\0\u0100-\uffff]/.test(name)) {
    throw invalid("bad-file-name", `${show(name)} can't be the name of a file`);
  }
}

function checkInode(inode: Inode, name: string): void {
  if (!isId(inode.uid) || !isId(inode.gid)) {
    throw invalid("bad-owner", `${show(name)}: the owner ${inode.uid}:${inode.gid} does not fit 32 bits`);
  }
  if (inode.type === "symlink" && !/^[^\0\u0100-\uffff]{1,}$/.test(inode.target)) {
    throw invalid("bad-symlink", `${show(name)}: a symlink's target can't be empty or hold a NUL`);
  }
  if (inode.type === "symlink" && inode.target.length > MAX_SYMLINK) {
    throw invalid("bad-symlink", `${show(name)}: a symlink's target has at most ${MAX_SYMLINK} bytes`);
  }
  if ((inode.type === "char" || inode.type === "block") && !isDevice(inode.major, inode.minor)) {
    throw invalid("bad-device", `${show(name)}: ${inode.major}:${inode.minor} is not a device number`);
  }
}

/** 2^32 - 1 means "no owner" to the kernel, which refuses such inodes. */
function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < 2 ** 32 - 1;
}

function isDevice(major: number, minor: number): boolean {
  const within = (value: number, bits: number) => Number.isInteger(value) && value >= 0 && value < 2 ** bits;
  return within(major, 12) && within(minor, 20);
}

function notATree(name: string): KilnError {
  return new KilnError(Code.Internal, `the directory ${show(name)} is in two places`, {
    reason: "not-a-tree",
  });
}

function invalid(reason: string, message: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, {
    reason,
    hint: "change or remove this file in the image",
  });
}

function show(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}
