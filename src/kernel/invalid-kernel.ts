// The one error for a file that is not a bootable kernel, and the words for what it is instead.

import { Code, KilnError } from "../base/errors.js";

/** KilnError invalid_argument `invalid-kernel`; `why` says what the bytes are instead. */
export function invalidKernel(why: string, cause?: unknown): KilnError {
  return new KilnError(Code.InvalidArgument, `not a kernel that kiln can boot: ${why}`, {
    reason: "invalid-kernel",
    hint: "give an uncompressed x86-64 vmlinux, a bzImage (/boot/vmlinuz-*), a Debian linux-image package, or `debian`",
    cause,
  });
}

const KNOWN: readonly { magic: string; offset?: number; is: string }[] = [
  { magic: "1f8b", is: "gzip data" },
  { magic: "fd377a585a00", is: "xz data" },
  { magic: "28b52ffd", is: "zstd data" },
  { magic: "04224d18", is: "an LZ4 frame" },
  { magic: "02214c18", is: "LZ4 data" },
  { magic: "425a68", is: "bzip2 data" },
  { magic: "504b0304", is: "a zip archive" },
  { magic: "514649fb", is: "a qcow2 disk image" },
  { magic: "213c617263683e0a", is: "an ar archive (a Debian package is imported by its .deb name)" },
  { magic: "303730373031", is: "a cpio archive (an initramfs?)" },
  { magic: "2321", is: "a script" },
  { magic: "27051956", is: "a U-Boot image" },
  { magic: "7573746172", offset: 257, is: "a tar archive" },
];

/** What a file that is no kernel seems to be, from its first bytes. */
export function describeBytes(head: Uint8Array): string {
  if (head.length === 0) return "the file is empty";
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  for (const { magic, offset = 0, is } of KNOWN) {
    const end = offset + magic.length / 2;
    if (bytes.length >= end && bytes.toString("hex", offset, end) === magic) return `it is ${is}`;
  }
  if (bytes.length >= 2 && bytes.toString("latin1", 0, 2) === "MZ") return "it is an EFI or DOS program";
  if (bytes.subarray(0, 256).every((byte) => byte === 9 || byte === 10 || byte === 13 || byte >= 32)) {
    return "it is text";
  }
  return `it begins with the bytes ${bytes.toString("hex", 0, 8)}`;
}
