// Writer of "newc" cpio archives, the form of an initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
// Same entries, same bytes: times are 0, inodes count up, entries are sorted with parents first.

export type CpioEntry =
  | { readonly path: string; readonly type: "file"; readonly mode: number; readonly data: Uint8Array }
  | { readonly path: string; readonly type: "directory"; readonly mode: number }
  | { readonly path: string; readonly type: "symlink"; readonly target: string }
  | {
      readonly path: string;
      readonly type: "char";
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const TYPE_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, char: 0o020000 } as const;
const HEADER_SIZE = 110;
const TRAILER = "TRAILER!!!";

/**
 * The archive in pieces, to be written one after the other.
 *
 * Paths are relative, without "./"; every parent must be an entry too.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array[] {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const seen = new Set<string>([""]);
  const pieces: Uint8Array[] = [];
  let inode = 0;
  for (const entry of sorted) {
    const parent = entry.path.slice(0, Math.max(entry.path.lastIndexOf("/"), 0));
    if (!seen.has(parent)) throw new RangeError(`cpio: the parent of ${entry.path} is no entry`);
    if (seen.has(entry.path)) throw new RangeError(`cpio: ${entry.path} is there twice`);
    seen.add(entry.path);
    inode++;
    const data = dataOf(entry);
    pieces.push(header(entry, inode, data.length));
    if (data.length > 0) pieces.push(data, padding(data.length));
  }
  pieces.push(rawHeader({ name: TRAILER, inode: 0, mode: 0, links: 1, size: 0, major: 0, minor: 0 }));
  return pieces.filter((piece) => piece.length > 0);
}

function dataOf(entry: CpioEntry): Uint8Array {
  if (entry.type === "file") return entry.data;
  return entry.type === "symlink" ? Buffer.from(entry.target, "utf8") : new Uint8Array(0);
}

function header(entry: CpioEntry, inode: number, size: number): Uint8Array {
  return rawHeader({
    name: entry.path,
    inode,
    mode: TYPE_BITS[entry.type] | (entry.type === "symlink" ? 0o777 : entry.mode),
    links: entry.type === "directory" ? 2 : 1,
    size,
    major: entry.type === "char" ? entry.major : 0,
    minor: entry.type === "char" ? entry.minor : 0,
  });
}

interface RawHeader {
  readonly name: string;
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly size: number;
  readonly major: number;
  readonly minor: number;
}

function rawHeader(h: RawHeader): Uint8Array {
  const name = Buffer.from(`${h.name}\0`, "utf8");
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [h.inode, h.mode, 0, 0, h.links, 0, h.size, 0, 0, h.major, h.minor, name.length, 0];
  const text = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([Buffer.from(text, "latin1"), name, padding(HEADER_SIZE + name.length)]);
}

/** Headers with their names, and data, end at multiples of four. */
function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
