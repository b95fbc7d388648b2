// The only program of a VM whose root has nothing else in it: it waits until it is ended by a signal. Some 150 bytes, so
// that nothing has to be found, fetched or built for it.

import { encodeTarHeader, paddingOf } from "../../base/tar-format.js";
import { TAR_END } from "../../base/tar-stream.js";

/** Where it lies in that root. */
export const WAIT_PROGRAM = "/kiln-wait";

/** e_machine, and what the processor does: pause(2), ppoll(2) without a time where there is none, again and again. */
const MACHINES: Readonly<Record<string, { readonly machine: number; readonly code: readonly number[] }>> = {
  // mov eax, 34; syscall; jmp to the begin
  amd64: { machine: 62, code: [0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7] },
  // mov x0..x3, 0; mov x8, 73; svc 0; b to the begin
  arm64: {
    machine: 183,
    code: [0xd2800000, 0xd2800001, 0xd2800002, 0xd2800003, 0xd2800928, 0xd4000001, 0x17fffffa].flatMap(
      (word) => [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24],
    ),
  },
};

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const BASE = 0x400000n;
/** The largest page that either has. */
const ALIGN = 0x10000n;

/** @param architecture "amd64", "arm64": those that guests have */
export function waitProgram(architecture: string): Buffer {
  const { machine, code } = MACHINES[architecture] ?? { machine: 0, code: [] };
  const at = HEADER_BYTES + SEGMENT_BYTES;
  const elf = Buffer.alloc(at + code.length);
  // 64 bits, little-endian, version 1.
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  elf.writeUInt16LE(2, 16); // an executable
  elf.writeUInt16LE(machine, 18);
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(BASE + BigInt(at), 24);
  elf.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  elf.writeUInt16LE(HEADER_BYTES, 52);
  elf.writeUInt16LE(SEGMENT_BYTES, 54);
  elf.writeUInt16LE(1, 56);
  // One segment, all of the file: to be loaded, read and run.
  elf.writeUInt32LE(1, HEADER_BYTES);
  elf.writeUInt32LE(5, HEADER_BYTES + 4);
  for (const place of [16, 24]) elf.writeBigUInt64LE(BASE, HEADER_BYTES + place);
  for (const place of [32, 40]) elf.writeBigUInt64LE(BigInt(elf.length), HEADER_BYTES + place);
  elf.writeBigUInt64LE(ALIGN, HEADER_BYTES + 48);
  elf.set(code, at);
  return elf;
}

/** An archive of it, for the root. */
export async function* waitArchive(architecture: string): AsyncGenerator<Uint8Array> {
  const elf = waitProgram(architecture);
  const owner = { uid: 0, gid: 0, mtimeMs: 0, linkName: "" };
  yield encodeTarHeader({
    ...owner,
    name: WAIT_PROGRAM.slice(1),
    type: "file",
    mode: 0o555,
    size: elf.length,
  });
  yield elf;
  yield Buffer.alloc(paddingOf(elf.length));
  yield TAR_END;
}
