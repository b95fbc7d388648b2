// `--timing`: where the time of a start went, as a table. It only knows the moments it is given.

import type { BootTimings } from "../sdk/index.js";
import { renderTable } from "./render/table.js";

/** Moments of this process, milliseconds after its start. */
export interface ClientMoments {
  /** The command's code is loaded and its arguments are understood. */
  readonly loadedMs: number;
  readonly createdMs: number;
  /** kilnd was asked to start the VM. */
  readonly askedMs: number;
  /** The program's end was heard of; absent where nobody waited for it. */
  readonly endedMs?: number | undefined;
}

/** A stage: when it was done (milliseconds after this process's start) and how long it took. */
interface Stage {
  readonly name: string;
  readonly atMs?: number;
  readonly tookMs: number;
}

/** Stages in their order; indented ones are the guest's own, by its own clock. */
export function planStages(client: ClientMoments, boot: BootTimings): Stage[] {
  const { guest } = boot;
  const stages: Stage[] = [];
  let last = 0;
  const done = (name: string, atMs: number) => {
    stages.push({ name, atMs, tookMs: atMs - last });
    last = atMs;
  };
  const within = (name: string, tookMs: number) => stages.push({ name: `  ${name}`, tookMs });
  done("kiln is loaded", client.loadedMs);
  done("VM is made", client.createdMs);
  done("boot is prepared", client.askedMs + boot.preparedMs);
  done("VMM runs", client.askedMs + boot.spawnedMs);
  done("agent says hello", client.askedMs + boot.helloMs);
  within("kernel to init", guest.initMs);
  within("modules", guest.modulesMs - guest.initMs);
  within("channel and hello", guest.helloMs - guest.modulesMs);
  done("program runs", client.askedMs + boot.startedMs);
  within("root and network", guest.rootMs - guest.helloMs);
  within("fork and exec", guest.startedMs - guest.rootMs);
  if (client.endedMs !== undefined) done("program has ended", client.endedMs);
  return stages;
}

/** The table, with a final newline. */
export function renderTiming(client: ClientMoments, boot: BootTimings): string {
  const rows = planStages(client, boot).map(({ name, atMs, tookMs }) => [
    name,
    atMs === undefined ? "" : milliseconds(atMs),
    milliseconds(tookMs),
  ]);
  return renderTable(["STAGE", "AT", "TOOK"], rows);
}

/** Milliseconds since this process began. */
export function processAgeMs(): number {
  return performance.now();
}

function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
