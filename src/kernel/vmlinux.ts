// From whatever file a user calls a kernel to the uncompressed image that both VMMs boot fastest: an ELF vmlinux on
// x86-64, an `Image` on arm64. Refuses to know where the file came from or where the result goes.

import type { Abortable } from "../base/progress.js";
import { bzImagePayload, isBzImage } from "./bzimage.js";
import { Machine, readElfHeader, readNotes, readSegments } from "./elf.js";
import { describeBytes, invalidKernel } from "./invalid-kernel.js";
import { detectCompression, MAX_VMLINUX, unpack, unpackPayload } from "./payload.js";

export interface BootImage {
  /** The bytes to boot. */
  readonly image: Buffer;
  readonly architecture: "amd64" | "arm64";
  /** uname -r. */
  readonly release: string;
  /** The PVH entry note is there: QEMU boots an ELF kernel only through it. Always false on arm64. */
  readonly pvh: boolean;
}

const MIN_KERNEL = 256 * 1024;
const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h). */
const PVH_NOTE = { name: "Xen", type: 18 };

/**
 * Accepts an ELF vmlinux, a bzImage, an arm64 Image, or one of these packed as a whole (`vmlinuz` on arm64 is gzip).
 *
 * @throws KilnError `invalid-kernel`, saying what the file is instead
 */
export async function readBootImage(file: Buffer, options: Abortable = {}): Promise<BootImage> {
  if (isBzImage(file)) return checkVmlinux(await unpackPayload(bzImagePayload(file), options));
  if (isArm64Image(file)) return checkArm64Image(file);
  if (readElfHeader(file) !== undefined) return checkVmlinux(file);
  const compression = detectCompression(file);
  if (compression === undefined || compression === "lz4") throw invalidKernel(describeBytes(file));
  const inner = await unpack(file, compression, MAX_VMLINUX, options);
  if (isArm64Image(inner)) return checkArm64Image(inner);
  if (readElfHeader(inner) !== undefined) return checkVmlinux(inner);
  throw invalidKernel(`it is ${compression} data, and inside: ${describeBytes(inner)}`);
}

/** Checks that an ELF file is a complete 64-bit x86 kernel. */
function checkVmlinux(image: Buffer): BootImage {
  const header = readElfHeader(image);
  if (header === undefined) throw invalidKernel(`its payload is no ELF file: ${describeBytes(image)}`);
  if (!header.is64 || !header.littleEndian) throw invalidKernel("it is a 32-bit or big-endian ELF file");
  if (header.type === 1) throw invalidKernel("it is an ELF object file (a kernel module?)");
  if (header.type !== ET_EXEC && header.type !== ET_DYN)
    throw invalidKernel(`its ELF type is ${header.type}`);
  if (header.machine !== Machine.X86_64) {
    const what = header.machine === Machine.Aarch64 ? "an arm64 ELF; arm64 boots the `Image` file" : "an ELF";
    throw invalidKernel(`it is ${what} for machine ${header.machine}, not for x86-64`);
  }
  const segments = readSegments(image);
  if (segments === undefined) throw invalidKernel("its ELF segments lie outside the file: it is cut off");
  const loaded = segments.filter((segment) => segment.type === PT_LOAD);
  if (loaded.length === 0 || image.length < MIN_KERNEL) {
    throw invalidKernel("it is an ELF file without a kernel's segments");
  }
  const release = findRelease(image);
  if (release === undefined) throw invalidKernel("it is an ELF program, but no Linux kernel");
  const pvh = segments
    .filter((segment) => segment.type === PT_NOTE)
    .flatMap((segment) => readNotes(image, segment))
    .some((note) => note.name === PVH_NOTE.name && note.type === PVH_NOTE.type);
  return { image, architecture: "amd64", release, pvh };
}

/** Documentation/arch/arm64/booting.rst: "ARM\x64" at 56, image size at 16. */
function isArm64Image(file: Buffer): boolean {
  return file.length >= 64 && file.readUInt32LE(56) === 0x644d5241;
}

function checkArm64Image(image: Buffer): BootImage {
  const release = findRelease(image);
  if (image.length < MIN_KERNEL || release === undefined) {
    throw invalidKernel("it begins as an arm64 Image does, but holds no Linux kernel");
  }
  return { image, architecture: "arm64", release, pvh: false };
}

/** The release in the kernel's own banner, "Linux version <release> (...". */
function findRelease(image: Buffer): string | undefined {
  const needle = "Linux version ";
  for (let at = image.indexOf(needle); at >= 0; at = image.indexOf(needle, at + 1)) {
    const text = image.toString("latin1", at + needle.length, at + needle.length + 96);
    const release = /^([0-9]+\.[0-9]+[0-9A-Za-z._+~-]{0,63}) /.exec(text)?.[1];
    if (release !== undefined) return release;
  }
  return undefined;
}
