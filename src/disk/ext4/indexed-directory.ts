// Indexed directories (`dir_index`, filesystems/ext4 "Hash Tree Directories"): leaf blocks of entries in the order of
// their names' hashes, and above them a root and at most one level of nodes that say where which hash begins.

import { Code, KilnError } from "../../base/errors.js";
import { crc32c } from "./crc32c.js";
import {
  type DirectoryEntry,
  ENTRY_SPACE,
  encodeDirectoryBlock,
  entrySize,
  writeEntry,
} from "./directory.js";
import { BLOCK_SIZE, EntryType } from "./format.js";
import { HALF_MD4, type HashSeed, hashName } from "./name-hash.js";

const ROOT_ENTRIES_AT = 32;
const NODE_ENTRIES_AT = 8;
const INDEX_ENTRY = 8;
/** Each index block ends with 8 bytes of checksum. */
const ROOT_LIMIT = (BLOCK_SIZE - ROOT_ENTRIES_AT) / INDEX_ENTRY - 1;
const NODE_LIMIT = (BLOCK_SIZE - NODE_ENTRIES_AT) / INDEX_ENTRY - 1;
/** Leaves are left a fifth empty, so that the first new name in the guest does not split one. */
const LEAF_FILL = Math.floor(ENTRY_SPACE * 0.8);

interface HashedEntry extends DirectoryEntry {
  readonly hash: number;
  readonly minor: number;
}

interface Leaf {
  readonly entries: readonly HashedEntry[];
  /** Where its hashes begin; odd where the leaf before ends with the same hash. */
  readonly from: number;
}

/** A planned directory: its blocks in order are the root, `nodes` index nodes, then the leaves. */
export interface IndexPlan {
  readonly leaves: readonly Leaf[];
  /** Index nodes between root and leaves; 0 where the root points at the leaves. */
  readonly nodes: number;
  readonly blocks: number;
}

/**
 * Sorts entries into leaves.
 *
 * @param entries all but "." and ".."
 * @throws KilnError resource_exhausted `directory-too-large` beyond two levels (some 10 million names)
 */
export function planIndex(entries: readonly DirectoryEntry[], seed: HashSeed): IndexPlan {
  const hashed = entries.map(({ name, inode, type }) => {
    const { hash, minor } = hashName(name, seed);
    return { name, inode, type, hash, minor };
  });
  hashed.sort((a, b) => a.hash - b.hash || a.minor - b.minor || (a.name < b.name ? -1 : 1));
  const leaves = cutIntoLeaves(hashed);
  const nodes = leaves.length <= ROOT_LIMIT ? 0 : Math.ceil(leaves.length / NODE_LIMIT);
  if (nodes > ROOT_LIMIT) {
    throw new KilnError(Code.ResourceExhausted, `a directory of ${entries.length} names is too large`, {
      reason: "directory-too-large",
    });
  }
  return { leaves, nodes, blocks: 1 + nodes + leaves.length };
}

function cutIntoLeaves(hashed: readonly HashedEntry[]): Leaf[] {
  const leaves: Leaf[] = [];
  let first = 0;
  let used = 0;
  const close = (end: number) => {
    const from = hashed[first]?.hash ?? 0;
    const continued = first > 0 && hashed[first - 1]?.hash === from;
    // The first leaf takes every hash below the second's.
    leaves.push({ entries: hashed.slice(first, end), from: first === 0 ? 0 : from + (continued ? 1 : 0) });
    first = end;
    used = 0;
  };
  hashed.forEach((entry, index) => {
    const size = entrySize(entry.name);
    if (used + size > LEAF_FILL) close(index);
    used += size;
  });
  close(hashed.length);
  return leaves;
}

/**
 * Encodes every block of the directory, in order.
 *
 * @param emit given one buffer again and again
 */
export function encodeIndexedDirectory(
  plan: IndexPlan,
  own: { readonly inode: number; readonly parent: number },
  inodeSeed: number,
  emit: (block: Buffer) => void,
): void {
  const block = Buffer.alloc(BLOCK_SIZE);
  const firstLeaf = 1 + plan.nodes;
  const pointers = plan.leaves.map((leaf, index) => ({ from: leaf.from, block: firstLeaf + index }));
  encodeRoot(block, plan, own);
  const top =
    plan.nodes === 0
      ? pointers
      : Array.from({ length: plan.nodes }, (_, node) => ({
          from: pointers[node * NODE_LIMIT]?.from ?? 0,
          block: 1 + node,
        }));
  encodePointers(block, ROOT_ENTRIES_AT, ROOT_LIMIT, top, inodeSeed);
  emit(block);
  for (let node = 0; node < plan.nodes; node++) {
    block.fill(0);
    // An unused entry over the whole block hides the node from readers that know no index.
    block.writeUInt16LE(BLOCK_SIZE, 4);
    const children = pointers.slice(node * NODE_LIMIT, (node + 1) * NODE_LIMIT);
    encodePointers(block, NODE_ENTRIES_AT, NODE_LIMIT, children, inodeSeed);
    emit(block);
  }
  for (const leaf of plan.leaves) {
    encodeDirectoryBlock(block, leaf.entries, inodeSeed);
    emit(block);
  }
}

/** "." and ".." (which covers the rest of the block), then what kind of index this is. */
function encodeRoot(block: Buffer, plan: IndexPlan, own: { inode: number; parent: number }): void {
  block.fill(0);
  writeEntry(block, 0, { name: ".", inode: own.inode, type: EntryType.directory }, 12);
  writeEntry(block, 12, { name: "..", inode: own.parent, type: EntryType.directory }, BLOCK_SIZE - 12);
  block.writeUInt8(HALF_MD4, 28);
  block.writeUInt8(8, 29);
  block.writeUInt8(plan.nodes === 0 ? 0 : 1, 30);
}

/** The first pointer has no hash of its own: limit and count stand in its place. */
function encodePointers(
  block: Buffer,
  at: number,
  limit: number,
  pointers: readonly { from: number; block: number }[],
  inodeSeed: number,
): void {
  pointers.forEach((pointer, index) => {
    block.writeUInt32LE(pointer.from, at + index * INDEX_ENTRY);
    block.writeUInt32LE(pointer.block, at + index * INDEX_ENTRY + 4);
  });
  block.writeUInt16LE(limit, at);
  block.writeUInt16LE(pointers.length, at + 2);
  // Covered: everything up to the last pointer, then the tail with its checksum taken as zero.
  const tail = at + limit * INDEX_ENTRY;
  const covered = crc32c(inodeSeed, block, 0, at + pointers.length * INDEX_ENTRY);
  block.writeUInt32LE(crc32c(covered, block, tail, tail + INDEX_ENTRY), tail + 4);
}
