// What one tar entry does to the tree: the rules of applying a layer (image-spec, layer.md, "Applying Changesets").

import { Code, KilnError } from "../../base/errors.js";
import type { DirectoryInode, FileSink, FileWriter, Inode, InodeAttributes } from "../../base/tree.js";
import { attributesOf } from "./attributes.js";
import { splitEntryPath } from "./entry-path.js";
import { type DirectoryChain, deepest, LayerTree } from "./layer-tree.js";
import { type LayerLimits, limitExceeded } from "./limits.js";
import type { TarEntry, TarEvent } from "./tar-entry.js";
import { badTar, quoteName } from "./tar-errors.js";
import type { TarParser } from "./tar-parser.js";

const WHITEOUT = ".wh.";
const WHITEOUT_META = ".wh..wh.";
const OPAQUE = ".wh..wh..opq";

/** A file whose data is on its way; its name is free and waits. */
interface OpenFile {
  readonly writer: FileWriter;
  readonly chain: DirectoryChain;
  readonly name: string;
  readonly attributes: InodeAttributes;
}

export class LayerApplier {
  readonly #sink: FileSink;
  readonly #limits: LayerLimits;
  readonly #tree: LayerTree;
  #open: OpenFile | undefined;
  #entries = 0;
  #implied = 0;
  #metadataBytes = 0;
  #writtenBytes = 0;
  #freedBytes = 0;

  constructor(sink: FileSink, limits: LayerLimits) {
    this.#sink = sink;
    this.#limits = limits;
    this.#tree = new LayerTree({
      limits,
      onRemoved: (inode) => this.#free(inode),
      onImplied: () => {
        this.#implied++;
        this.#checkEntries();
      },
    });
  }

  get root(): DirectoryInode {
    return this.#tree.root;
  }

  get stats(): { entries: number; writtenBytes: number; freedBytes: number } {
    return { entries: this.#entries, writtenBytes: this.#writtenBytes, freedBytes: this.#freedBytes };
  }

  beginLayer(): void {
    this.#tree.beginLayer();
  }

  /** aufs kept hard links' data under such names at the root: the links are made, the names go. */
  endLayer(): void {
    for (const name of this.#tree.root.entries.keys()) {
      if (name.startsWith(WHITEOUT_META)) this.#tree.remove(this.#tree.root, name);
    }
  }

  /** Applies all that the parser has; waits only where the sink does. */
  async applyEvents(parser: TarParser): Promise<void> {
    for (let event = parser.next(); event !== undefined; event = parser.next()) {
      const pending = this.#apply(event);
      if (pending !== undefined) await pending;
    }
  }

  #apply(event: TarEvent): void | Promise<void> {
    switch (event.type) {
      case "entry":
        return this.#applyEntry(event.entry);
      case "data":
        return this.#open?.writer.write(event.bytes);
      case "hole":
        return this.#open?.writer.hole(event.length);
      case "end":
        return this.#endEntry();
    }
  }

  #applyEntry(entry: TarEntry): void {
    this.#count(entry);
    const names = splitEntryPath(entry.path, "entry", this.#limits);
    const name = names.pop();
    if (name === undefined) this.#applyRoot(entry);
    else if (name.startsWith(WHITEOUT)) this.#applyWhiteout(names, name, entry);
    else if (entry.type === "hardlink") this.#applyHardLink(names, name, entry);
    else this.#applyInode(names, name, entry);
  }

  /** Bounds what the tree may take in memory. */
  #count(entry: TarEntry): void {
    this.#entries++;
    this.#checkEntries();
    this.#metadataBytes += entry.path.length + entry.linkTarget.length;
    for (const [name, value] of entry.xattrs ?? []) this.#metadataBytes += name.length + value.length;
    if (this.#metadataBytes <= this.#limits.maxMetadataBytes) return;
    const message = `names and attributes of the entries take more than ${this.#limits.maxMetadataBytes} bytes`;
    throw limitExceeded("metadata-too-large", message, "maxMetadataBytes");
  }

  #checkEntries(): void {
    const { maxEntries } = this.#limits;
    if (this.#entries + this.#implied <= maxEntries) return;
    throw limitExceeded("too-many-entries", `there are more than ${maxEntries} entries`, "maxEntries");
  }

  #applyRoot(entry: TarEntry): void {
    if (entry.type !== "directory") {
      throw badTar(entry.offset, `${quoteName(entry.path)} makes the root something else`, "bad-root-entry");
    }
    setAttributes(this.#tree.root, attributesOf(entry));
    this.#tree.touch([this.#tree.root]);
  }

  #applyWhiteout(parents: readonly string[], name: string, entry: TarEntry): void {
    const hidden = name.slice(WHITEOUT.length);
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw badTar(entry.offset, `${quoteName(entry.path)} hides nothing that can be`, "bad-whiteout");
    }
    // All others of that prefix are aufs's own.
    if (name !== OPAQUE && name.startsWith(WHITEOUT_META)) return;
    const chain = this.#tree.findDirectory(parents);
    if (chain === undefined) return;
    const directory = deepest(chain);
    if (name === OPAQUE) this.#tree.hideLowerIn(directory);
    else this.#tree.hideLower(directory, hidden);
  }

  #applyHardLink(parents: readonly string[], name: string, entry: TarEntry): void {
    const target = splitEntryPath(entry.linkTarget, "hard link target", this.#limits);
    const targetName = target.pop();
    if (targetName === undefined) throw badLink(entry, "which is a directory", "link-to-directory");
    const chain = this.#tree.makeDirectory(parents);
    // A link to itself has nothing to do, and must not remove what it names.
    const isSelf = targetName === name && this.#directoryOf(target) === deepest(chain);
    if (!isSelf) this.#tree.remove(deepest(chain), name);
    // Looked up only now: what was removed may have held the target.
    const inode = this.#directoryOf(target)?.entries.get(targetName);
    if (inode === undefined) throw badLink(entry, "which isn't there", "link-target-missing");
    if (inode.type === "directory") throw badLink(entry, "which is a directory", "link-to-directory");
    if (isSelf) {
      this.#tree.touch(chain, name);
      return;
    }
    inode.links++;
    this.#tree.add(chain, name, inode);
  }

  #directoryOf(names: readonly string[]): DirectoryInode | undefined {
    const chain = this.#tree.findDirectory(names);
    return chain === undefined ? undefined : deepest(chain);
  }

  #applyInode(parents: readonly string[], name: string, entry: TarEntry): void {
    const attributes = attributesOf(entry);
    const chain = this.#tree.makeDirectory(parents);
    const parent = deepest(chain);
    const old = parent.entries.get(name);
    if (entry.type === "directory") {
      if (old?.type === "directory") {
        setAttributes(old, attributes);
        this.#tree.touch([...chain, old]);
        return;
      }
      this.#tree.remove(parent, name);
      this.#tree.addDirectory(chain, name, attributes);
      return;
    }
    this.#tree.remove(parent, name);
    if (entry.type === "file") {
      this.#open = { writer: this.#sink.createFile(entry.size), chain, name, attributes };
    } else {
      this.#tree.add(chain, name, specialInode(entry, attributes, this.#limits));
    }
  }

  #endEntry(): void | Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const data = open.writer.close();
    return data instanceof Promise ? data.then((ref) => this.#addFile(open, ref)) : this.#addFile(open, data);
  }

  #addFile({ chain, name, attributes }: OpenFile, data: { readonly size: number }): void {
    this.#writtenBytes += data.size;
    this.#tree.add(chain, name, { type: "file", data, links: 1, ...attributes });
  }

  #free(inode: Inode): void {
    if (inode.type !== "file") return;
    this.#freedBytes += inode.data.size;
    this.#sink.free(inode.data);
  }
}

/** A directory keeps what is in it and takes all of its metadata from the new entry. */
function setAttributes(directory: DirectoryInode, attributes: InodeAttributes): void {
  const { mode, uid, gid, mtimeNs, xattrs } = attributes;
  Object.assign(directory, { mode, uid, gid, mtimeNs });
  if (xattrs === undefined) delete directory.xattrs;
  else directory.xattrs = xattrs;
}

/** Whatever is neither a file, a directory nor a hard link. */
function specialInode(entry: TarEntry, attributes: InodeAttributes, limits: LayerLimits): Inode {
  switch (entry.type) {
    case "symlink":
      return { type: "symlink", target: checkTarget(entry, limits), links: 1, ...attributes };
    case "char":
    case "block":
      return { type: entry.type, major: entry.major, minor: entry.minor, links: 1, ...attributes };
    case "fifo":
      return { type: "fifo", links: 1, ...attributes };
    default:
      throw new KilnError(Code.Internal, `entry type ${entry.type} reached the wrong place`, {
        reason: "internal",
      });
  }
}

function checkTarget(entry: TarEntry, limits: LayerLimits): string {
  const target = entry.linkTarget;
  if (target === "") throw badLink(entry, "which is no name", "bad-link");
  if (target.length <= limits.maxPathBytes) return target;
  const message = `symlink ${quoteName(entry.path)}: its target is longer than ${limits.maxPathBytes} bytes`;
  throw limitExceeded("path-too-long", message, "maxPathBytes");
}

function badLink(entry: TarEntry, problem: string, reason: string): KilnError {
  const target = quoteName(entry.linkTarget);
  return badTar(entry.offset, `${quoteName(entry.path)} links to ${target}, ${problem}`, reason);
}
