// Measures the rate of the host's time stamp counter without any right: Node cannot read the counter, but a guest
// under TCG reads the host's. A firmware of 45 bytes answers each byte on its serial port with the counter's value.

import { type ChildProcess, spawn } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tempNameFor } from "../../base/files.js";
import { planEnvironment } from "../../base/privileges.js";
import { delay } from "../../base/runtime.js";

/** Between the two readings: with readings good to 50 us the rate is good to 2 in 10,000. */
const SPAN_MS = 500;
const READINGS = 12;
const DEADLINE_MS = 10_000;

const FIRMWARE_BYTES = 64 * 1024;
const RESET_VECTOR = 0xfff0;
const CODE_OFFSET = 0xff00;

/** 16-bit code at the end of the first 4 GiB, where the processor begins. */
const CODE = Uint8Array.of(
  ...[0xba, 0xfd, 0x03], // start: mov dx, 0x3fd   line status
  ...[0xec, 0xa8, 0x01], //  wait: in al, dx; test al, 1
  ...[0x74, 0xfb], //              jz wait
  ...[0xba, 0xf8, 0x03, 0xec], //  mov dx, 0x3f8; in al, dx
  ...[0x0f, 0x31], //              rdtsc
  ...[0x66, 0x89, 0xd3], //        mov ebx, edx
  ...[0xba, 0xf8, 0x03], //        mov dx, 0x3f8
  ...[0xb9, 0x04, 0x00], //        mov cx, 4
  ...[0xee, 0x66, 0xc1, 0xe8, 0x08, 0xe2, 0xf9], // out dx, al; shr eax, 8; loop
  ...[0x66, 0x89, 0xd8], //        mov eax, ebx
  ...[0xb9, 0x04, 0x00], //        mov cx, 4
  ...[0xee, 0x66, 0xc1, 0xe8, 0x08, 0xe2, 0xf9], // out dx, al; shr eax, 8; loop
  ...[0xeb, 0xd3], //              jmp start
);
/** jmp CODE_OFFSET, relative to the end of this instruction. */
const RESET_CODE = Uint8Array.of(0xe9, 0x0d, 0xff);

interface Reading {
  readonly hostNs: bigint;
  readonly counter: bigint;
  /** How long the answer took: the reading's uncertainty. */
  readonly windowNs: bigint;
}

/** kHz; undefined where QEMU does not play along. */
export async function calibrateTsc(program: string, cacheDirectory: string): Promise<number | undefined> {
  const path = tempNameFor(join(cacheDirectory, "tsc-firmware"));
  try {
    await writeFile(path, firmware());
    return await measure(program, path);
  } catch {
    // Calibration is one source of several; the caller has others.
    return undefined;
  } finally {
    await rm(path, { force: true });
  }
}

function firmware(): Buffer {
  const image = Buffer.alloc(FIRMWARE_BYTES);
  image.set(CODE, CODE_OFFSET);
  image.set(RESET_CODE, RESET_VECTOR);
  return image;
}

async function measure(program: string, firmwarePath: string): Promise<number> {
  const machine = ["-M", "microvm,acpi=on", "-accel", "tcg", "-m", "16M", "-bios", firmwarePath];
  const quiet = ["-no-user-config", "-nodefaults", "-display", "none", "-chardev", "stdio,id=s,signal=off"];
  const child = spawn(program, [...machine, ...quiet, "-serial", "chardev:s"], {
    env: planEnvironment(),
    stdio: ["pipe", "pipe", "ignore"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  try {
    const first = await bestReading(child);
    await delay(SPAN_MS);
    return rateKhz(first, await bestReading(child));
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
  }
}

/** Counter ticks per millisecond between two readings. */
export function rateKhz(first: Reading, second: Reading): number {
  return Number(((second.counter - first.counter) * 1_000_000n) / (second.hostNs - first.hostNs));
}

async function bestReading(child: ChildProcess): Promise<Reading> {
  let best = await read(child);
  for (let count = 1; count < READINGS; count++) {
    const next = await read(child);
    if (next.windowNs < best.windowNs) best = next;
  }
  return best;
}

async function read(child: ChildProcess): Promise<Reading> {
  const before = process.hrtime.bigint();
  const answer = readExactly(child, 8);
  child.stdin?.write("?");
  const counter = (await answer).readBigUInt64LE();
  const after = process.hrtime.bigint();
  return { hostNs: (before + after) / 2n, counter, windowNs: after - before };
}

function readExactly(child: ChildProcess, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const finish = (error?: Error) => {
      child.stdout?.off("data", onData);
      child.off("exit", onEnd);
      child.off("error", finish);
      child.stdin?.off("error", finish);
      if (error === undefined) resolve(got);
      else reject(error);
    };
    const onData = (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (got.length >= length) finish();
    };
    const onEnd = () => finish(new Error("QEMU ended"));
    child.stdout?.on("data", onData);
    child.once("exit", onEnd);
    child.once("error", finish);
    child.stdin?.once("error", finish);
  });
}
