// Trees for the contract of file sinks: how to make them, random ones, and how to compare one with what was found in
// an image.

import assert from "node:assert/strict";
import fc from "fast-check";
import type { DirectoryInode, FileSink, Inode, InodeAttributes } from "../../src/base/tree.js";

/** One inode as read back from an image, in the words of base/tree.ts. */
export interface FoundInode {
  /** Equal for two names of one inode. */
  readonly id: number;
  readonly type: Inode["type"];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly links: number;
  readonly size: number;
  readonly target?: string;
  readonly device?: readonly [major: number, minor: number];
  /** POSIX ACLs in the syscall form. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly content?: Buffer;
}

/** Everything below the root (whose path is "") by path: names joined with "/", one char per byte. */
export type FoundTree = ReadonlyMap<string, FoundInode>;

/** Attributes to begin with. */
export const PLAIN: InodeAttributes = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 1_700_000_000_123_456_789n };

/** What a file holds: bytes, or so many zeros as a hole. */
export type Piece = Uint8Array | number;

/** Remembers what each file was given, which a DataRef does not tell. */
export class TreeMaker {
  readonly #contents = new Map<Inode, Buffer>();
  readonly #sink: FileSink;

  constructor(sink: FileSink) {
    this.#sink = sink;
  }

  async file(pieces: readonly Piece[], attributes: Partial<InodeAttributes> = {}): Promise<Inode> {
    const content = Buffer.concat(
      pieces.map((piece) => (typeof piece === "number" ? Buffer.alloc(piece) : piece)),
    );
    const writer = this.#sink.createFile(content.length);
    for (const piece of pieces) {
      if (typeof piece === "number") writer.hole(piece);
      else await writer.write(piece);
    }
    const inode: Inode = {
      type: "file",
      data: await writer.close(),
      links: 1,
      ...PLAIN,
      ...attributes,
    };
    this.#contents.set(inode, content);
    return inode;
  }

  contentOf(inode: Inode): Buffer | undefined {
    return this.#contents.get(inode);
  }
}

export function directory(
  entries: Record<string, Inode> | Iterable<[string, Inode]> = {},
  attributes: Partial<InodeAttributes> = {},
): DirectoryInode {
  const list = Symbol.iterator in entries ? entries : Object.entries(entries);
  return { type: "directory", entries: new Map(list), ...PLAIN, mode: 0o755, ...attributes };
}

export function symlink(target: string, attributes: Partial<InodeAttributes> = {}): Inode {
  return { type: "symlink", target, links: 1, ...PLAIN, mode: 0o777, ...attributes };
}

/** An inode that has neither data nor number. */
export function special(type: "fifo" | "socket", attributes: Partial<InodeAttributes> = {}): Inode {
  return { type, links: 1, ...PLAIN, ...attributes };
}

export function device(type: "char" | "block", major: number, minor: number): Inode {
  return { type, major, minor, links: 1, ...PLAIN };
}

/** A description from which a random tree is made, so that failures shrink to something small. */
export type TreePlan = readonly {
  readonly names: readonly string[];
  readonly kind: "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";
  readonly parent: number;
  readonly attributes: InodeAttributes;
  readonly sizes: readonly number[];
  readonly target: string;
  readonly device: readonly [number, number];
  readonly freed: boolean;
}[];

/** Plans of up to 40 inodes of all kinds, with hard links, holes, attributes, and files that are freed again. */
export const treePlans: fc.Arbitrary<TreePlan> = fc.array(
  fc.record({
    names: fc.array(nameBytes(1, 255), { minLength: 1, maxLength: 3 }),
    kind: fc.constantFrom("file", "file", "directory", "symlink", "char", "block", "fifo", "socket"),
    parent: fc.nat(100),
    attributes: attributes(),
    sizes: fc.array(fc.integer({ min: -30_000, max: 30_000 }), { maxLength: 5 }),
    target: nameBytes(1, 200),
    device: fc.tuple(fc.nat(4095), fc.nat(0xfffff)),
    freed: fc.boolean(),
  }),
  { maxLength: 40 },
);

/** Any bytes but NUL, "/" and newline (the reading tools print names one to a line). */
function nameBytes(minLength: number, maxLength: number): fc.Arbitrary<string> {
  const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 10 && code !== 47);
  return fc
    .array(byte, { minLength, maxLength })
    .map((codes) => String.fromCharCode(...codes))
    .filter((name) => name !== "." && name !== "..");
}

function attributes(): fc.Arbitrary<InodeAttributes> {
  const id = fc.oneof(fc.nat(2000), fc.integer({ min: 0, max: 2 ** 32 - 2 }));
  const seconds = 1_000_000_000n;
  const key = fc.stringMatching(/^[a-z._-]{1,20}$/).map((name) => `security.${name}`);
  return fc.record({
    mode: fc.nat(0o7777),
    uid: id,
    gid: id,
    mtimeNs: fc.bigInt({ min: -(2n ** 31n) * seconds, max: 10_000_000_000n * seconds }),
    xattrs: fc
      .array(fc.tuple(key, fc.uint8Array({ maxLength: 300 })), { maxLength: 4 })
      .map((list) => new Map(list)),
  });
}

/** Makes the planned tree; parents are picked among the directories made so far. */
export async function makeTree(plan: TreePlan, maker: TreeMaker, sink: FileSink): Promise<DirectoryInode> {
  const root = directory();
  const parents = [root];
  for (const step of plan) {
    const made = await makeInode(step, maker);
    if (step.freed && made.type === "file") {
      sink.free(made.data);
      continue;
    }
    const links = made.type === "directory" ? step.names.slice(0, 1) : step.names;
    let placed = false;
    links.forEach((name, index) => {
      const parent = parents[(step.parent + index) % parents.length] ?? root;
      if (parent.entries.has(name)) return;
      parent.entries.set(name, made);
      placed = true;
    });
    if (placed && made.type === "directory") parents.push(made);
  }
  return root;
}

async function makeInode(step: TreePlan[number], maker: TreeMaker): Promise<Inode> {
  switch (step.kind) {
    case "file":
      return await maker.file(
        step.sizes.map((size, i) => (size < 0 ? -size : Buffer.alloc(size, i + 1))),
        step.attributes,
      );
    case "directory":
      return directory({}, step.attributes);
    case "symlink":
      return symlink(step.target, step.attributes);
    case "char":
    case "block":
      return { ...device(step.kind, ...step.device), ...step.attributes };
    default:
      return special(step.kind, step.attributes);
  }
}

/** Compares everything but the sink's own lost+found. */
export function assertSameTree(found: FoundTree, root: DirectoryInode, maker: TreeMaker): void {
  const wanted = flatten(root);
  const ownPaths = [...found.keys()].filter((path) => wanted.has(path) || path !== "lost+found");
  assert.deepEqual(ownPaths.sort(), [...wanted.keys()].sort());
  const names = new Map<Inode, number>();
  for (const inode of wanted.values()) names.set(inode, (names.get(inode) ?? 0) + 1);
  const idOf = new Map<Inode, number>();
  for (const [path, inode] of wanted) {
    const other = found.get(path) ?? assert.fail(path);
    const description = describeWanted(inode, names.get(inode) ?? 0, maker.contentOf(inode));
    assert.deepEqual(describeFound(other), description, JSON.stringify(path));
    assert.equal(other.id, idOf.get(inode) ?? other.id, `${JSON.stringify(path)} is a hard link`);
    idOf.set(inode, other.id);
  }
  assert.equal(new Set(idOf.values()).size, idOf.size, "each inode has a number of its own");
}

function flatten(root: DirectoryInode): Map<string, Inode> {
  const all = new Map<string, Inode>();
  const pending: [string, DirectoryInode][] = [["", root]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [prefix, { entries }] = next;
    for (const [name, inode] of entries) {
      const path = prefix === "" ? name : `${prefix}/${name}`;
      all.set(path, inode);
      if (inode.type === "directory") pending.push([path, inode]);
    }
  }
  return all;
}

function describeWanted(inode: Inode, names: number, content: Buffer | undefined) {
  return {
    type: inode.type,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    mtimeNs: inode.mtimeNs,
    links: inode.type === "directory" ? undefined : names,
    size: inode.type === "symlink" ? inode.target.length : content?.length,
    target: inode.type === "symlink" ? inode.target : undefined,
    device: inode.type === "char" || inode.type === "block" ? [inode.major, inode.minor] : undefined,
    content: content?.toString("base64"),
    xattrs: describeXattrs(inode.xattrs ?? new Map()),
  };
}

function describeFound(found: FoundInode) {
  return {
    type: found.type,
    mode: found.mode,
    uid: found.uid,
    gid: found.gid,
    mtimeNs: found.mtimeNs,
    links: found.type === "directory" ? undefined : found.links,
    size: found.type === "symlink" || found.type === "file" ? found.size : undefined,
    target: found.target,
    device: found.device,
    content: found.content?.toString("base64"),
    xattrs: describeXattrs(found.xattrs),
  };
}

function describeXattrs(xattrs: ReadonlyMap<string, Uint8Array>): [string, string][] {
  return [...xattrs]
    .map(([name, value]): [string, string] => [name, Buffer.from(value).toString("hex")])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
