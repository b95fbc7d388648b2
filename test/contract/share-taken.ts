// A server that the guest has taken over, as the contract tests ask one what it could do: its test door, and the kernel's word.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { type NineClient, NineError, T, text, u8 } from "../fixtures/nine-client.js";
import type { ShareBench } from "./share-bench.js";

const { EACCES, ENOENT, ENOTDIR, EPERM, ENOSYS, EROFS } = constants.errno;
const REFUSALS = [EACCES, ENOENT, ENOTDIR, EPERM, EROFS];
/** Of x86_64: execve, execveat, fork, vfork, ptrace, kill, mount, umount2, pivot_root, chroot, unshare, setns, bpf,
 * perf_event_open, keyctl, io_uring_setup, process_vm_readv, userfaultfd, setuid, socketpair, bind, listen, open_tree. */
const FORBIDDEN = [
  59, 322, 57, 58, 101, 62, 165, 166, 155, 161, 272, 308, 321, 298, 250, 425, 310, 323, 105, 53, 49, 50, 428,
];
const FAMILIES = [2, 10, 16, 17, 40];
const PATHS = [
  "/etc/passwd",
  "/proc/self/status",
  "/proc/1/environ",
  "../status",
  "../../1/root",
  "/outside/secret",
];

export async function statusOf(bench: ShareBench): Promise<Map<string, string>> {
  const lines = (await readFile(`/proc/${bench.process.pid}/status`, "utf8")).split("\n");
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

/** What the kernel answers when the server tries; 0 where it could. */
export async function told(client: NineClient, what: string, argument: string): Promise<number> {
  const answer = client.ask(T.told, [u8(what.charCodeAt(0)), text(argument)]);
  return answer.then(
    () => 0,
    (error) => {
      assert.ok(error instanceof NineError, String(error));
      return error.errno;
    },
  );
}

export async function opensNothing(bench: ShareBench, client: NineClient): Promise<void> {
  await writeFile(join(bench.outside, "secret"), "secret");
  await bench.give(join(bench.outside, "secret"));
  for (const path of [...PATHS, join(bench.outside, "secret"), join(bench.top, "ledger")]) {
    for (const how of ["r", "w"])
      assert.ok(REFUSALS.includes(await told(client, how, path)), `${how} ${path}`);
  }
  for (const family of FAMILIES)
    assert.equal(await told(client, "s", String(family)), EPERM, `socket ${family}`);
  for (const call of FORBIDDEN)
    assert.ok([EPERM, ENOSYS].includes(await told(client, "c", String(call))), `system call ${call}`);
}

/** A program before the server: from there on these system calls of x86_64 are not there (ENOSYS). */
export function without(...calls: readonly number[]): string[] {
  const step = (code: number, jumpFalse: number, value: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(code, 0);
    bytes.writeUInt8(jumpFalse, 3);
    bytes.writeUInt32LE(value, 4);
    return bytes;
  };
  const judged = calls.flatMap((call) => [step(0x15, 1, call), step(0x06, 0, 0x50000 | ENOSYS)]);
  const steps = [step(0x20, 0, 0), ...judged, step(0x06, 0, 0x7fff0000)];
  const script = `
import ctypes, os, sys
libc = ctypes.CDLL(None)
steps = ctypes.create_string_buffer(bytes.fromhex(sys.argv[1]))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]
program = Program(${steps.length}, ctypes.addressof(steps))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program)) == 0
os.execv(sys.argv[2], sys.argv[2:])`;
  return ["python3", "-c", script, Buffer.concat(steps).toString("hex")];
}
