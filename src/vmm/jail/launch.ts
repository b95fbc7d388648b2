// Starts a planned VMM: hands over its descriptors, writes down who was started, puts it under its limits, and only
// then lets it run. A kilnd that dies on the way leaves a bubblewrap without its filter, which ends by itself.

import type { ChildProcess } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { BWRAP_CHILD_PID } from "../../base/bubblewrap.js";
import { defined } from "../../base/defined.js";
import { Code, KilnError } from "../../base/errors.js";
import { planEnvironment } from "../../base/privileges.js";
import { identifyProcess, type ProcessId, signalProcess } from "../../base/processes.js";
import { delay, NOT_NEEDED } from "../../base/runtime.js";
import { type ProcessRecord, writeProcessRecord } from "../process-record.js";
import { type SpawnRequest, VmmProcess } from "../vmm-process.js";
import type { VmCgroup } from "./cgroup.js";
import { HandedOver } from "./descriptors.js";
import { FIRST_DESCRIPTOR, type LaunchPlan } from "./plan.js";

export interface LaunchRequest {
  readonly plan: LaunchPlan;
  /** The filter's bytes; unused where the plan has none. */
  readonly filter: Buffer;
  /** Of what is started; what the VMM has in its jail is in the plan. */
  readonly environment: Readonly<Record<string, string>>;
  /** Only kilnd writes there. */
  readonly runDirectory: string;
  readonly record: Omit<ProcessRecord, "version" | "spawned" | "vmm">;
  /** Made meanwhile: the kernel may take tens of milliseconds for it. */
  readonly cgroup: Promise<VmCgroup | undefined>;
  /** What the VMM has for its stdout; default /dev/null. */
  readonly stdout?: SpawnRequest["stdout"] | undefined;
  /** What an end before there was a VMM means, where it means something. */
  readonly explain?: SpawnRequest["explain"];
  /** How long bubblewrap, and what is around it, may take to tell its child. */
  readonly patienceMs?: number | undefined;
}

/** It takes some 5 ms; a busy host makes it wait its turn. */
const PATIENCE_MS = 30_000;

export interface LaunchedVmm {
  readonly process: VmmProcess;
  /** Resolves once the VMM is under its limits: before that its guest must not run. */
  readonly limited: Promise<void>;
  /** Puts a helper of the VM's under the same limits: its user network. */
  readonly join: (pid: number) => Promise<void>;
}

/** @throws KilnError `vmm-not-started` with the last words of what was started */
export async function launchVmm(request: LaunchRequest): Promise<LaunchedVmm> {
  const { plan, runDirectory, cgroup } = request;
  await using handed = await HandedOver.open(plan.descriptors, runDirectory);
  const started = VmmProcess.spawn({
    argv: plan.argv,
    env: planEnvironment(request.environment),
    descriptors: handed.stdio,
    ...defined({ stdout: request.stdout }),
    explain: request.explain,
    find: (child, spawned) => release(request, child, spawned),
    afterEnd: async () => (await cgroup)?.close(),
  });
  // The spawn itself happens in that call: nobody waits for what listens here any more.
  const [vmm] = await Promise.all([started, handed[Symbol.asyncDispose]()]);
  const pids = [vmm.spawned, vmm.id.pid];
  const limited = cgroup.then((own) => own?.add(pids));
  limited.catch(() => undefined);
  return { process: vmm, limited, join: async (pid) => (await cgroup)?.add([pid]) };
}

async function release(request: LaunchRequest, child: ChildProcess, spawned: ProcessId): Promise<ProcessId> {
  const { plan, runDirectory } = request;
  const record: ProcessRecord = { version: 1, ...request.record, spawned };
  const [filter, info] = [pipeOf(plan, child, "filter"), pipeOf(plan, child, "info")];
  const told = info === undefined ? undefined : childPid(info as Readable);
  told?.catch(() => undefined);
  writeProcessRecord(runDirectory, record);
  if (filter === undefined || told === undefined) return spawned;
  give(filter, request.filter);
  for (const [index, descriptor] of plan.descriptors.entries()) {
    if (descriptor.kind === "words") give(pipeAt(child, index), encodeWords(descriptor.words));
  }
  const pid = await within(told, request.patienceMs ?? PATIENCE_MS);
  const vmm = (await identifyProcess(pid)) ?? { pid, startTime: "" };
  try {
    writeProcessRecord(runDirectory, { ...record, vmm });
  } catch (error) {
    await signalProcess(vmm, "SIGKILL");
    throw error;
  }
  return vmm;
}

function pipeOf(plan: LaunchPlan, child: ChildProcess, kind: "filter" | "info") {
  const index = plan.descriptors.findIndex((descriptor) => descriptor.kind === kind);
  return index < 0 ? undefined : pipeAt(child, index);
}

function pipeAt(child: ChildProcess, index: number) {
  return child.stdio[FIRST_DESCRIPTOR + index] ?? undefined;
}

/** All that the pipe is for. A bubblewrap that has ended tells why by its last words. */
function give(pipe: ReturnType<typeof pipeAt>, bytes: Buffer): void {
  pipe?.on("error", () => undefined);
  (pipe as Writable | undefined)?.end(bytes);
}

/** As `bwrap --args` reads them. */
function encodeWords(words: readonly string[]): Buffer {
  return Buffer.from(words.map((word) => `${word}\0`).join(""));
}

/** @throws KilnError deadline_exceeded `vmm-start-hangs` */
async function within(told: Promise<number>, patienceMs: number): Promise<number> {
  const enough = new AbortController();
  const late = delay(patienceMs, enough.signal).then(() => {
    throw new KilnError(
      Code.DeadlineExceeded,
      `start the VMM in its jail: bubblewrap told no process within ${patienceMs / 1000} s`,
      {
        reason: "vmm-start-hangs",
        hint: "is the host very busy, or a file system of kiln's gone away? Try again; `kiln doctor` makes a jail as well",
      },
    );
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([told, late]);
  } finally {
    enough.abort(NOT_NEEDED);
  }
}

/** What is more than this is not its. */
const MAX_INFO_BYTES = 4096;

/** Reads to the end: a bubblewrap that can't write all of it dies, and its child waits for it without end. */
async function childPid(info: Readable): Promise<number> {
  let text = "";
  info.setEncoding("utf8");
  for await (const piece of info) text = (text + piece).slice(0, MAX_INFO_BYTES);
  const pid = BWRAP_CHILD_PID.exec(text)?.[1];
  if (pid !== undefined) return Number(pid);
  throw new KilnError(Code.FailedPrecondition, "bubblewrap told no process", { reason: "vmm-not-started" });
}
