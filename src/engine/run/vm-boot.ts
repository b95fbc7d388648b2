// Brings one VM up: assets, directories, VMM, hello, Boot. Leaves nothing behind when it fails. It refuses to know
// about verbs and policies; it changes no state but what recovery needs to find the VMM again.

import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import type { AgentSession } from "../../agent/types.js";
import { KilnError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import { UndoStack } from "../../base/undo.js";
import type { BootTimings } from "../../gen/kiln/agent/v1/machine_pb.js";
import { parsePlatform } from "../../image/index.js";
import type { VmmDriver, VmmHandle, VmmProbe, VmmSpec } from "../../vmm/types.js";
import { boundedMilliseconds } from "../common/guest-numbers.js";
import { cowBase, requireBase } from "../disks/bases.js";
import { guestPlatform, requireRunnable } from "../host/guest-platform.js";
import { requireDisk, requireMemory } from "../host/host.js";
import { markRunDirectory } from "../host/run-directories.js";
import { withProof } from "../host/vmm-processes.js";
import type { BootAssets } from "../kernels/kernel-assets.js";
import { planSpec, type SpecFacts } from "../vm/boot-plan.js";
import type { VmEntry } from "../vm/entry.js";
import type { GuestTimings, Timings } from "../vm/status.js";
import { emitVmEvent } from "../vm/vm-events.js";
import { callBoot, explain, hung, vmmDied } from "./call-boot.js";
import { type EngineContext, vmLogger } from "./context.js";
import { LiveVm } from "./live-vm.js";
import { pendingCopies } from "./pending-copies.js";
import type { Run } from "./run.js";
import { settleUser } from "./vm-users.js";

export interface Booted {
  readonly live: LiveVm;
  readonly session: AgentSession;
  /** False: the program could not be started; the agent's Wait says why. */
  readonly programRuns: boolean;
  readonly timings: Timings;
}

/** Everything about a VM's boot that is known before its VMM exists. */
interface Prepared {
  readonly driver: VmmDriver;
  readonly probe: VmmProbe;
  readonly assets: BootAssets;
  readonly facts: SpecFacts;
  readonly spec: VmmSpec;
}

/** Refuses what can be refused before anything runs: memory, disk, base, cow, kernel, VMM. */
export async function prepareBoot(
  ctx: EngineContext,
  entry: VmEntry,
  runDirectory: string,
  signal?: AbortSignal,
): Promise<Prepared> {
  const { record } = entry;
  const { host, settings, store, rooms } = ctx;
  entry.requireRecord("start");
  await pendingCopies(ctx, entry).list();
  await requireMemory(host, entry.name, record.config.memoryBytes, settings.memoryReserveBytes);
  await requireDisk(host, `start VM ${entry.name}`, ctx.dataRoot, 0, settings.diskReserveBytes);
  const { imageId, image, diskBytes } = record.config;
  const known = { image: rooms.images.find(imageId || image), imageName: image || imageId, diskBytes };
  const base = await requireBase(ctx.bases, { name: entry.name, key: record.base, ...known }, { signal });
  await rooms.disks.checkCow(store.cowPath(entry.id), cowBase(base));
  const { driver, probe } = await rooms.vmms.choose(record.config.vmm || settings.vmm);
  requireRunnable(
    guestPlatform(host.facts, probe),
    parsePlatform(record.config.platform),
    `start VM ${entry.name}`,
    "another VMM may have been chosen when it was made: choose it again with --vmm or vmm= in config.toml",
  );
  const assets = await ctx.kernels.prepare(record.kernelId);
  const userNetwork = probe.capabilities?.userNetwork ?? false;
  if (record.config.network === "user" && !userNetwork) {
    vmLogger(ctx, entry).warn("the VM gets no network card; its published ports work", { why: probe.why });
  }
  if (probe.exposed !== undefined) {
    vmLogger(ctx, entry).warn("the VM's jail shows all of the host's programs", { why: probe.exposed });
    emitVmEvent(ctx, entry, "jail", { shows: "/usr", why: probe.exposed });
  }
  const facts = await specFacts(ctx, entry, runDirectory, assets, userNetwork);
  return { driver, probe, assets, facts, spec: planSpec(facts) };
}

/** Where a boot's files are. A VM that runs already needs none of them. */
export interface AssetPaths extends Pick<BootAssets, "initrd" | "modules"> {
  readonly kernel: Pick<BootAssets["kernel"], "vmlinux">;
}

export async function specFacts(
  ctx: EngineContext,
  entry: VmEntry,
  runDirectory: string,
  assets: AssetPaths,
  userNetwork: boolean,
): Promise<SpecFacts> {
  const { record } = entry;
  const networked = record.config.network === "user" && userNetwork;
  return {
    record,
    runDirectory,
    stateDirectory: ctx.store.vmmDirectory(entry.id),
    kernel: assets.kernel.vmlinux,
    initrd: assets.initrd,
    modules: assets.modules,
    base: ctx.bases.path(record.base),
    cow: ctx.store.cowPath(entry.id),
    network: networked ? await ctx.rooms.network.planUser(entry.id, record.config.dns) : undefined,
    runAs: ctx.ownership.runAs(record.uid),
    environment: ctx.mark.environment(runDirectory),
  };
}

const ATTEMPTS = 2;

/**
 * Boots it. A guest that hangs before its hello is tried once more: under software emulation a kernel may lose its
 * timer on a busy host (docs/design/0003-state-and-recovery.md).
 *
 * @throws KilnError unavailable `vmm-died`, deadline_exceeded `no-hello`, and what the rooms say
 */
export async function bootVm(ctx: EngineContext, run: Run, runDirectory: string): Promise<Booted> {
  const { entry, signal } = run;
  const clock = stopwatch();
  await settleUser(ctx, entry, false);
  const prepared = await prepareBoot(ctx, entry, runDirectory, signal);
  const preparedMs = clock();
  for (let attempt = 1; ; attempt++) {
    try {
      return await bootOnce(ctx, run, prepared, { clock, preparedMs });
    } catch (error) {
      const hung = error instanceof KilnError && error.reason === "no-hello";
      if (!hung || attempt === ATTEMPTS || signal.aborted) throw error;
      vmLogger(ctx, entry).warn("the guest hangs at boot, trying again", {
        why: error.message.split("\n")[0],
      });
    }
  }
}

async function bootOnce(
  ctx: EngineContext,
  run: Run,
  prepared: Prepared,
  { clock, preparedMs }: { clock: () => number; preparedMs: number },
): Promise<Booted> {
  const { entry, signal } = run;
  await using undo = new UndoStack((what, error) => vmLogger(ctx, entry).warn(what, { why: error.message }));
  const { driver, spec, assets } = prepared;
  await makeDirectories(ctx, spec);
  undo.push("remove the run directory", () => rm(spec.runDirectory, { recursive: true, force: true }));
  const handle = await driver.launch(spec, { signal });
  undo.push("end the VMM", () => handle.kill());
  const spawnedMs = clock();
  const { capabilities } = handle.record;
  await entry.note({
    vmm: await withProof(handle.record),
    vmmKind: driver.kind,
    accelerator: capabilities.accelerator,
    consoleLog: handle.consoleLog,
    kernelRelease: assets.kernel.release,
    ipAddress: prepared.facts.network?.addresses[0]?.replace(/\/.*/, "") ?? "",
  });
  const live = createLive(ctx, run, handle);
  undo.push("let go of the VM", () => live.release());
  await live.ports.addAll(entry.record.program.ports);
  const session = await waitForHello(ctx, live, signal);
  undo.push("close the agent's session", () => session.close());
  const helloMs = clock();
  const facts = { ...prepared.facts, capabilities, nowMs: ctx.now(), entropy: randomBytes(64) };
  const { pid, timings: guest } = await callBoot(ctx, { entry, live, session, signal }, facts);
  undo.commit();
  const timings = {
    preparedMs,
    spawnedMs,
    helloMs,
    startedMs: clock(),
    ...(guest === undefined ? {} : { guest: guestTimings(guest) }),
  };
  return { live, session, programRuns: pid !== 0, timings };
}

/** Milliseconds since it was made. */
function stopwatch(): () => number {
  const start = performance.now();
  return () => performance.now() - start;
}

function guestTimings(wire: BootTimings): GuestTimings {
  return {
    initMs: boundedMilliseconds(wire.initUs),
    modulesMs: boundedMilliseconds(wire.modulesUs),
    helloMs: boundedMilliseconds(wire.helloUs),
    rootMs: boundedMilliseconds(wire.rootUs),
    startedMs: boundedMilliseconds(wire.startedUs),
  };
}

/** The live side of a VM whose VMM exists. */
export function createLive(ctx: EngineContext, run: Run, handle: VmmHandle): LiveVm {
  const { entry } = run;
  const { accelerator } = handle.record.capabilities;
  return new LiveVm({
    name: entry.name,
    handle,
    rooms: ctx.rooms,
    vmLog: entry.log,
    log: vmLogger(ctx, entry),
    helloTimeoutMs: ctx.settings.helloTimeoutMs[accelerator],
    linkPauses: ctx.settings.linkPauses,
    now: ctx.now,
    want: (intent, why) => run.want(intent, why),
  });
}

/** kilnd's own: VMMs have descriptors. */
async function makeDirectories(ctx: EngineContext, spec: VmmSpec): Promise<void> {
  await rm(spec.runDirectory, { recursive: true, force: true });
  for (const directory of [spec.runDirectory, spec.stateDirectory]) {
    await makeDirectory(directory);
    if (directory === spec.runDirectory) await markRunDirectory(ctx, directory);
    await ctx.ownership.give(directory, process.getuid?.());
    await ctx.ownership.shut(directory);
  }
}

async function waitForHello(ctx: EngineContext, live: LiveVm, signal: AbortSignal): Promise<AgentSession> {
  const { handle } = live;
  const { accelerator } = handle.record.capabilities;
  const helloTimeoutMs = ctx.settings.helloTimeoutMs[accelerator];
  const stop = new AbortController();
  const silence = setTimeout(
    () => stop.abort(hung("its console stayed silent")),
    ctx.settings.silenceTimeoutMs[accelerator],
  );
  void handle.firstOutput.then(() => clearTimeout(silence));
  void handle.exited.then(({ detail }) => stop.abort(vmmDied(detail)));
  try {
    return await live.open(AbortSignal.any([signal, stop.signal]), helloTimeoutMs);
  } catch (error) {
    signal.throwIfAborted();
    const why = stop.signal.aborted ? stop.signal.reason : error;
    throw await explain(live.handle, why instanceof KilnError ? why : hung(KilnError.from(why).message));
  } finally {
    clearTimeout(silence);
  }
}
