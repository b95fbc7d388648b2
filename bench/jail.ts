// What the jail costs a VM: the same QEMU launched with it and without, in turn, in one run.

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "../src/base/ids.js";
import { createQemuDriver, readProcessRecord, type VmmDriver } from "../src/vmm/index.js";
import { bootFiles } from "./bare-guest.js";
import { limitRow, median, type Row } from "./measure.js";

const ROUNDS = 15;
const KIB_PER_MIB = 1024;

interface Launch {
  readonly tookMs: number;
  /** Of the process beside QEMU; 0 where there is none. */
  readonly monitorMib: number;
}

export async function benchJail(scratch: string): Promise<Row[]> {
  const boot = await bootFiles();
  const options = { cacheDirectory: scratch };
  const jailed = createQemuDriver(options);
  const bare = createQemuDriver({ ...options, bwrap: "/nonexistent/bwrap", allowUnconfined: true });
  const launches: Record<"jailed" | "bare", Launch[]> = { jailed: [], bare: [] };
  // What is found out and made once per kilnd is no VM's cost.
  for (const driver of [jailed, bare]) await launchOnce(scratch, driver, boot);
  for (let round = 0; round < ROUNDS; round++) {
    launches.jailed.push(await launchOnce(scratch, jailed, boot));
    launches.bare.push(await launchOnce(scratch, bare, boot));
  }
  const [withJail, without] = [launches.jailed, launches.bare].map((list) =>
    median(list.map(({ tookMs }) => tookMs)),
  );
  const pairs = launches.jailed.map(({ tookMs }, round) => tookMs - (launches.bare[round]?.tookMs ?? 0));
  const detail = `${withJail?.toFixed(1)} ms against ${without?.toFixed(1)} ms, medians of ${ROUNDS}; ${median(pairs).toFixed(1)} ms between pairs`;
  const memory = median(launches.jailed.map(({ monitorMib }) => monitorMib));
  return [
    limitRow(
      "the jail: launch of QEMU to its guest's first instruction",
      5,
      (withJail ?? 0) - (without ?? 0),
      "ms",
      detail,
    ),
    limitRow("the jail: memory", 1, memory, "MiB", "PSS of the monitor; QEMU's own is the same"),
  ];
}

async function launchOnce(
  scratch: string,
  driver: VmmDriver,
  boot: { readonly kernel: string; readonly initrd: string },
): Promise<Launch> {
  const directory = await mkdtemp(join(scratch, "j"));
  const [runDirectory, stateDirectory] = [join(directory, "r"), join(directory, "s")];
  await mkdir(runDirectory);
  await mkdir(stateDirectory);
  const begun = performance.now();
  const handle = await driver.launch({
    ...{ vmId: newId(), runDirectory, stateDirectory, ...boot, kernelArgs: [], vcpus: 1 },
    ...{ disks: [], cards: [], ports: [] },
    memoryBytes: 128 * 1024 ** 2,
  });
  const tookMs = performance.now() - begun;
  const record = await readProcessRecord(runDirectory);
  const monitor = record?.spawned.pid === handle.record.process.pid ? undefined : record?.spawned.pid;
  const monitorMib = monitor === undefined ? 0 : await pssMib(monitor);
  await handle.kill();
  await rm(directory, { recursive: true });
  return { tookMs, monitorMib };
}

async function pssMib(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss: +(\d+)/m.exec(text)?.[1] ?? Number.NaN) / KIB_PER_MIB;
}
