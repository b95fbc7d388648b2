// The tree while layers are applied to it: finding places inside the root, whatever symlinks say, and telling what the
// layer at hand brought ("upper") from what was there before it ("lower"), because whiteouts hide only the latter.

import { Code, KilnError } from "../../base/errors.js";
import type { DirectoryInode, Inode, InodeAttributes } from "../../base/tree.js";
import { type LayerLimits, limitExceeded } from "./limits.js";
import { quoteName } from "./tar-errors.js";

/** A directory with all directories above it, the root first. */
export type DirectoryChain = readonly [DirectoryInode, ...DirectoryInode[]];

/** How far a path leads: the deepest directory that exists, and the names below it that don't (or aren't one). */
interface Walk {
  readonly chain: DirectoryChain;
  readonly missing: readonly string[];
}

/** What the layer at hand did to a directory. */
interface Touch {
  /** It has an entry for the directory or for something below it. */
  upper: boolean;
  /** The names in it that are of this layer and no directories; those are touched themselves. */
  names?: Set<string>;
  /** All that is lower has been removed from it, and none can come again. */
  pruned: boolean;
}

/**
 * What a directory has that no layer has an entry for, and the root before any layer speaks of it: root's, 0755, and
 * the epoch as its time, because the time of unpacking would make the same image differ each time.
 */
const IMPLIED: InodeAttributes = { mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n };

const SET_GROUP_ID = 0o2000;

export interface LayerTreeOptions {
  readonly limits: LayerLimits;
  /** Told of each inode whose last name has gone. */
  readonly onRemoved: (inode: Inode) => void;
  /** Asked before a directory is made that no entry named. */
  readonly onImplied: () => void;
}

export class LayerTree {
  readonly root: DirectoryInode = { type: "directory", entries: new Map(), ...IMPLIED };
  readonly #options: LayerTreeOptions;
  /** Only directories that this layer had to do with. */
  #touches = new Map<DirectoryInode, Touch>();

  constructor(options: LayerTreeOptions) {
    this.#options = options;
  }

  /** From now on everything that is there is lower. */
  beginLayer(): void {
    this.#touches = new Map();
  }

  /**
   * The directory of that name, symlinks followed inside the root; undefined where there is none.
   *
   * @throws KilnError invalid_argument `symlink-loop`
   */
  findDirectory(names: readonly string[]): DirectoryChain | undefined {
    const { chain, missing } = this.#walk(names);
    return missing.length === 0 ? chain : undefined;
  }

  /**
   * The directory of that name, made where it is missing, its parents included. What stands in the way and is no
   * directory gives way if it is lower: the layer was made where there was a directory.
   *
   * @throws KilnError invalid_argument `symlink-loop`, `parent-not-directory`; resource_exhausted `path-too-deep`
   */
  makeDirectory(names: readonly string[]): DirectoryChain {
    const { chain, missing } = this.#walk(names);
    let made = chain;
    for (const name of missing) {
      const parent = deepest(made);
      if (parent.entries.has(name)) {
        if (this.#isUpper(parent, name)) throw notDirectory(names, name);
        this.remove(parent, name);
      }
      this.#options.onImplied();
      made = this.addDirectory(made, name, impliedAttributes(parent));
    }
    return made;
  }

  /** A new, empty directory under a free name. @throws KilnError resource_exhausted `path-too-deep`, `path-too-long` */
  addDirectory(chain: DirectoryChain, name: string, attributes: InodeAttributes): DirectoryChain {
    const { maxDepth, maxNameBytes } = this.#options.limits;
    if (chain.length > maxDepth) {
      const message = `directory ${quoteName(name)} lies deeper than ${maxDepth} directories`;
      throw limitExceeded("path-too-deep", message, "maxDepth");
    }
    // An entry's own names were looked at; those of a symlink's target were not.
    if (name.length > maxNameBytes) {
      const message = `directory ${quoteName(name)} has a name longer than ${maxNameBytes} bytes`;
      throw limitExceeded("path-too-long", message, "maxNameBytes");
    }
    const directory: DirectoryInode = { type: "directory", entries: new Map(), ...attributes };
    // Nothing in it is lower, nor will be.
    this.#touches.set(directory, { upper: true, pruned: true });
    deepest(chain).entries.set(name, directory);
    this.touch(chain);
    return [...chain, directory];
  }

  /** Puts an inode under a free name. */
  add(chain: DirectoryChain, name: string, inode: Inode): void {
    deepest(chain).entries.set(name, inode);
    this.touch(chain, name);
  }

  /** Marks a name, and the directories above it, as of this layer. */
  touch(chain: DirectoryChain, name?: string): void {
    for (const directory of chain) this.#touchOf(directory).upper = true;
    if (name === undefined) return;
    const touch = this.#touchOf(deepest(chain));
    touch.names ??= new Set();
    touch.names.add(name);
  }

  /** Takes a name away with all that is below it. */
  remove(parent: DirectoryInode, name: string): void {
    const inode = parent.entries.get(name);
    if (inode === undefined) return;
    parent.entries.delete(name);
    this.#drop(inode);
  }

  /** Whiteout: what is lower under that name goes; what this layer put there stays. */
  hideLower(parent: DirectoryInode, name: string): void {
    const inode = parent.entries.get(name);
    if (inode === undefined) return;
    if (!this.#isUpper(parent, name)) this.remove(parent, name);
    else if (inode.type === "directory") this.hideLowerIn(inode);
  }

  /** Opaque whiteout: what is lower below the directory goes, the directory stays. */
  hideLowerIn(directory: DirectoryInode): void {
    const touch = this.#touchOf(directory);
    // Whatever came since is upper: looking again and again is what a hostile layer would want.
    if (touch.pruned) return;
    touch.pruned = true;
    for (const name of directory.entries.keys()) this.hideLower(directory, name);
  }

  #isUpper(parent: DirectoryInode, name: string): boolean {
    const inode = parent.entries.get(name);
    if (inode?.type === "directory") return this.#touches.get(inode)?.upper ?? false;
    return this.#touches.get(parent)?.names?.has(name) ?? false;
  }

  #touchOf(directory: DirectoryInode): Touch {
    let touch = this.#touches.get(directory);
    if (touch === undefined) {
      touch = { upper: false, pruned: false };
      this.#touches.set(directory, touch);
    }
    return touch;
  }

  /** Gives up one name of each inode at and below `inode`; without recursion, as depth is the layer's choice. */
  #drop(inode: Inode): void {
    const pending: Inode[] = [inode];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (next.type === "directory") {
        this.#touches.delete(next);
        for (const child of next.entries.values()) pending.push(child);
      } else {
        next.links--;
        if (next.links === 0) this.#options.onRemoved(next);
      }
    }
  }

  /** Follows symlinks as a process would whose root this is: absolute targets and ".." never lead out of it. */
  #walk(names: readonly string[]): Walk {
    let chain: [DirectoryInode, ...DirectoryInode[]] = [this.root];
    const missing: string[] = [];
    const pending = [...names].reverse();
    const budget = new WalkBudget(names, this.#options.limits);
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      budget.step();
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (missing.pop() === undefined && chain.length > 1) chain.pop();
        continue;
      }
      const inode = missing.length > 0 ? undefined : deepest(chain).entries.get(name);
      if (inode?.type === "directory") {
        chain.push(inode);
      } else if (inode?.type === "symlink") {
        budget.link();
        if (inode.target.startsWith("/")) chain = [this.root];
        pending.push(...inode.target.split("/").reverse());
      } else {
        missing.push(name);
      }
    }
    return { chain, missing };
  }
}

/** mkdir(2) below a set-group-ID directory passes the bit and the group on. */
function impliedAttributes(parent: DirectoryInode): InodeAttributes {
  const inherited = (parent.mode & SET_GROUP_ID) !== 0;
  return inherited ? { ...IMPLIED, mode: IMPLIED.mode | SET_GROUP_ID, gid: parent.gid } : { ...IMPLIED };
}

/** Bounds the work for one path: chains of long links multiply. */
class WalkBudget {
  readonly #names: readonly string[];
  readonly #limits: LayerLimits;
  #links = 0;
  #steps = 0;

  constructor(names: readonly string[], limits: LayerLimits) {
    this.#names = names;
    this.#limits = limits;
  }

  step(): void {
    // No path has more components than bytes.
    if (++this.#steps > 2 * this.#limits.maxPathBytes) this.#fail();
  }

  link(): void {
    if (++this.#links > this.#limits.maxSymlinks) this.#fail();
  }

  #fail(): never {
    const message = `${quoteName(this.#names.join("/"))} leads through too many symbolic links`;
    throw new KilnError(Code.InvalidArgument, message, {
      reason: "symlink-loop",
      hint: "the image's layers link to each other in a circle: build it again",
    });
  }
}

/** The directory that the chain leads to. */
export function deepest(chain: DirectoryChain): DirectoryInode {
  return chain[chain.length - 1] ?? chain[0];
}

function notDirectory(names: readonly string[], name: string): KilnError {
  const message = `${quoteName(names.join("/"))} can't be made: ${quoteName(name)} in it is not a directory`;
  return new KilnError(Code.InvalidArgument, message, {
    reason: "parent-not-directory",
    hint: "the layer uses one name both as a file and as a directory: build the image again",
  });
}
