// Just enough ELF64 (little-endian) to check a vmlinux and to read a module's .modinfo. Hostile input: every offset
// and count is bounded by the buffer. Refuses to know what the bytes mean to a kernel.

/** e_machine values that kiln meets. */
export const Machine = { X86_64: 62, Aarch64: 183 } as const;

const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const SECTION_HEADER_SIZE = 64;
/** More than any kernel or module has; keeps a hostile count from costing time. */
const MAX_HEADERS = 4096;

export interface ElfHeader {
  readonly is64: boolean;
  readonly littleEndian: boolean;
  /** ET_*: 1 relocatable, 2 executable, 3 shared. */
  readonly type: number;
  readonly machine: number;
  readonly entry: bigint;
}

export interface ElfSegment {
  /** PT_*: 1 load, 4 note. */
  readonly type: number;
  readonly offset: number;
  readonly fileSize: number;
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
}

/** The identification and header; undefined where the bytes are no ELF at all. */
export function readElfHeader(file: Buffer): ElfHeader | undefined {
  if (file.length < 20 || file.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const is64 = file[4] === 2;
  const littleEndian = file[5] === 1;
  const machine = littleEndian ? file.readUInt16LE(18) : file.readUInt16BE(18);
  const type = littleEndian ? file.readUInt16LE(16) : file.readUInt16BE(16);
  const entry = is64 && littleEndian && file.length >= HEADER_SIZE ? file.readBigUInt64LE(24) : 0n;
  return { is64, littleEndian, type, machine, entry };
}

/** Program headers of an ELF64 LE file; undefined where they do not lie inside it. */
export function readSegments(file: Buffer): ElfSegment[] | undefined {
  if (file.length < HEADER_SIZE) return undefined;
  const table = headerTable(file, 32, 54, 56, PROGRAM_HEADER_SIZE);
  if (table === undefined) return undefined;
  const segments: ElfSegment[] = [];
  for (const at of table) {
    const offset = Number(file.readBigUInt64LE(at + 8));
    const fileSize = Number(file.readBigUInt64LE(at + 32));
    if (offset + fileSize > file.length) return undefined;
    segments.push({ type: file.readUInt32LE(at), offset, fileSize });
  }
  return segments;
}

/** The bytes of the first section of that name; undefined where there is none or the file is damaged. */
export function readSection(file: Buffer, name: string): Buffer | undefined {
  if (file.length < HEADER_SIZE) return undefined;
  const table = headerTable(file, 40, 58, 60, SECTION_HEADER_SIZE);
  const namesHeader = table?.[file.readUInt16LE(62)];
  if (table === undefined || namesHeader === undefined) return undefined;
  const names = sectionBytes(file, namesHeader);
  if (names === undefined) return undefined;
  const wanted = Buffer.from(`${name}\0`, "latin1");
  for (const at of table) {
    const start = file.readUInt32LE(at);
    if (names.subarray(start, start + wanted.length).equals(wanted)) return sectionBytes(file, at);
  }
  return undefined;
}

/** The notes in a PT_NOTE segment (elf(5), Nhdr); stops at the first that is damaged. */
export function readNotes(file: Buffer, segment: ElfSegment): ElfNote[] {
  const notes: ElfNote[] = [];
  const end = segment.offset + segment.fileSize;
  let at = segment.offset;
  while (end - at >= 12 && notes.length < MAX_HEADERS) {
    const nameSize = file.readUInt32LE(at);
    const descriptorSize = file.readUInt32LE(at + 4);
    const next = at + 12 + align4(nameSize) + align4(descriptorSize);
    if (nameSize > 256 || next > end) break;
    notes.push({
      name: file.toString("latin1", at + 12, at + 12 + nameSize).replace(/\0+$/, ""),
      type: file.readUInt32LE(at + 8),
    });
    at = next;
  }
  return notes;
}

/** Offsets of the entries of a header table whose place, entry size and count stand at those offsets. */
function headerTable(
  file: Buffer,
  offsetAt: number,
  sizeAt: number,
  countAt: number,
  entrySize: number,
): number[] | undefined {
  const offset = Number(file.readBigUInt64LE(offsetAt));
  const count = file.readUInt16LE(countAt);
  if (count === 0) return [];
  if (file.readUInt16LE(sizeAt) !== entrySize || count > MAX_HEADERS) return undefined;
  if (offset + count * entrySize > file.length) return undefined;
  return Array.from({ length: count }, (_, index) => offset + index * entrySize);
}

function sectionBytes(file: Buffer, header: number): Buffer | undefined {
  const offset = Number(file.readBigUInt64LE(header + 24));
  const size = Number(file.readBigUInt64LE(header + 32));
  return offset + size <= file.length ? file.subarray(offset, offset + size) : undefined;
}

function align4(size: number): number {
  return Math.ceil(size / 4) * 4;
}
