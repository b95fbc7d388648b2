// The x86 boot protocol's setup header (Documentation/arch/x86/boot.rst): where in a bzImage the packed vmlinux lies.

import { invalidKernel } from "./invalid-kernel.js";

const BOOT_SIGNATURE = 0xaa55;
const SETUP_MAGIC = "HdrS";
/** Boot protocol 2.08 (Linux 2.6.26) brought payload_offset and payload_length. */
const MIN_PROTOCOL = 0x0208;
const HEADER_END = 0x250;

/** True where the bytes carry a setup header. */
export function isBzImage(file: Buffer): boolean {
  return (
    file.length >= HEADER_END &&
    file.readUInt16LE(0x1fe) === BOOT_SIGNATURE &&
    file.toString("latin1", 0x202, 0x206) === SETUP_MAGIC
  );
}

/**
 * The packed vmlinux inside a bzImage.
 *
 * @throws KilnError `invalid-kernel` for a protocol older than 2.08 or a payload outside the file
 */
export function bzImagePayload(file: Buffer): Buffer {
  const protocol = file.readUInt16LE(0x206);
  if (protocol < MIN_PROTOCOL) {
    throw invalidKernel(`its boot protocol ${protocol >> 8}.${protocol & 0xff} is older than 2.08`);
  }
  const setupSectors = file[0x1f1] === 0 ? 4 : (file[0x1f1] ?? 4); // 0 means 4, for old boot loaders
  const start = (setupSectors + 1) * 512 + file.readUInt32LE(0x248);
  const length = file.readUInt32LE(0x24c);
  if (length === 0 || start + length > file.length) {
    throw invalidKernel("its packed kernel lies outside the file: the bzImage is cut off");
  }
  return file.subarray(start, start + length);
}
