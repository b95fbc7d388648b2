// The boot path: spawn to the agent's hello on both kernels, against the same kernel reaching the smallest init there
// is, and on to the answer of a first exec.

import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeCpio } from "../src/kernel/cpio.js";
import { CHECKOUT, defaultKernel } from "../test/fixtures/assets.js";
import { bootBare, bootFiles, bootToConsole } from "./bare-guest.js";
import { limitRow, median, type Row, ratioRow, shell } from "./measure.js";

const ROUNDS = 9;
const MEGABYTE = 1e6;

/** Milliseconds from the spawn to what `boot` waits for; ending the machine is not counted. */
async function untilUp(boot: () => Promise<{ end(): Promise<void> }>): Promise<number> {
  const start = performance.now();
  const machine = await boot();
  const took = performance.now() - start;
  await machine.end();
  return took;
}

export async function benchBoot(scratch: string): Promise<Row[]> {
  const kernel = await defaultKernel("kiln");
  const debian = await bootFiles("debian");
  const own = await bootFiles("kiln");
  const bare = { kernel: own.kernel, initrd: await staticInitramfs(scratch) };
  const times: Record<"debian" | "own" | "bare", number[]> = { debian: [], own: [], bare: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.debian.push(await untilUp(() => bootBare(scratch, [], debian)));
    times.own.push(await untilUp(() => bootBare(scratch, [], own)));
    times.bare.push(await untilUp(() => bootToConsole(scratch, bare)));
  }
  const hello = median(times.own);
  const { size } = await stat(kernel.vmlinux);
  return [
    ratioRow("spawn → hello, kiln's kernel against Debian's", 0.5, hello, median(times.debian), "medians"),
    ratioRow("the same against its bare boot to a static init", 1.15, hello, median(times.bare), "medians"),
    limitRow("kiln's vmlinux", 30, size / MEGABYTE, "MB", kernel.release),
  ];
}

/** An initramfs with `static-init.c` and its console, nothing else. */
async function staticInitramfs(scratch: string): Promise<string> {
  const program = join(scratch, "static-init");
  const source = join(CHECKOUT, "bench/static-init.c");
  await shell(`gcc -Os -static -nostdlib -fno-stack-protector -s -o ${program} ${source}`);
  const pieces = writeCpio([
    { path: "dev", type: "directory", mode: 0o755 },
    { path: "dev/console", type: "char", mode: 0o600, major: 5, minor: 1 },
    { path: "init", type: "file", mode: 0o755, data: await readFile(program) },
  ]);
  const path = join(scratch, "static-init.cpio");
  await writeFile(path, Buffer.concat(pieces));
  return path;
}
