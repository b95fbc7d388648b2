// Does KVM work here? A node that opens proves nothing: on some clouds it opens and no stock kernel boots. So a real
// kernel is booted once with a deadline, and the verdict kept for this host kernel and this VMM.

import { access, constants } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { errnoOf, KilnError } from "../base/errors.js";
import { readJson, writeJsonAtomic } from "../base/files.js";
import type { BootFailure } from "./test-boot.js";
import type { VmmKind } from "./types.js";

/** Something to boot for the test: any kernel that kiln boots, with or without an initramfs. */
export interface ProbeKernel {
  readonly vmlinux: string;
  readonly initrd?: string | undefined;
}

export interface KvmVerdict {
  readonly works: boolean;
  readonly why: string;
  /** False: it may be another soon, and is asked for again. */
  readonly final: boolean;
  /** Good for a moment: nothing that is under way here, like the making of the first kernel, changes it. */
  readonly settled: boolean;
}

export interface KvmProbe {
  readonly kind: VmmKind;
  readonly version: string;
  readonly cacheDirectory: string;
  readonly kernel: ProbeKernel | undefined;
  /** Boots the kernel under KVM. Resolves to undefined where it ran, else to why not; rejects where it could not be tried. */
  readonly boot: (kernel: ProbeKernel) => Promise<BootFailure | undefined>;
  /** Default: the wall clock. */
  readonly now?: (() => number) | undefined;
  /** Default: /dev/kvm. */
  readonly device?: string | undefined;
}

export const KVM_DEVICE = "/dev/kvm";
/** A boot that was only too slow is tried again after this time, so many times in all: one busy moment proves nothing. */
const LATE_AGAIN_MS = 60 * 60_000;
const LATE_TRIES = 3;
/** Any other failure may pass as well: another hypervisor held the processor, memory was short. */
const FAILED_AGAIN_MS = 24 * 60 * 60_000;

/** Cheap but for the one boot per host kernel and VMM version. */
export async function judgeKvm(probe: KvmProbe): Promise<KvmVerdict> {
  const { device = KVM_DEVICE, now = Date.now } = probe;
  const closed = await whyClosed(device);
  if (closed !== undefined) return { works: false, why: closed, final: false, settled: true };
  const path = join(probe.cacheDirectory, `kvm-${probe.kind}.json`);
  const key = `${release()} ${probe.version}`;
  const cached = await readVerdict(path, key);
  if (cached !== undefined && !isWorthAnotherTry(cached, now())) return verdictOf(cached);
  if (probe.kernel === undefined) {
    const why = `${device} is there, not probed yet (no kernel to boot)`;
    return { works: false, why, final: false, settled: false };
  }
  let failure: BootFailure | undefined;
  try {
    failure = await probe.boot(probe.kernel);
    // One that somebody has removed meanwhile could boot nowhere.
    if (failure !== undefined) await requireThere(probe.kernel);
  } catch (error) {
    // Nothing was booted (no jail, no kernel any more): that tells nothing of KVM.
    const why = `${device} is there, not probed: ${KilnError.from(error).message}`;
    return { works: false, why, final: false, settled: false };
  }
  const why =
    failure === undefined
      ? "a test boot under KVM succeeded"
      : `${device} is there but a test boot under KVM failed: ${failure.why}`;
  const lateTries = failure?.late === true ? (cached?.lateTries ?? 0) + 1 : 0;
  const found: KeptVerdict = { key, works: failure === undefined, why, lateTries, triedAt: now() };
  await writeJsonAtomic(path, found, { durable: false });
  return verdictOf(found);
}

async function requireThere({ vmlinux, initrd }: ProbeKernel): Promise<void> {
  for (const path of [vmlinux, ...(initrd === undefined ? [] : [initrd])]) await access(path);
}

interface KeptVerdict {
  readonly key: string;
  readonly works: boolean;
  readonly why: string;
  /** How often in a row the boot was only too slow. */
  readonly lateTries: number;
  readonly triedAt: number;
}

function isWorthAnotherTry({ works, lateTries, triedAt }: KeptVerdict, now: number): boolean {
  const againMs = lateTries > 0 && lateTries < LATE_TRIES ? LATE_AGAIN_MS : FAILED_AGAIN_MS;
  return !works && (now - triedAt >= againMs || now < triedAt);
}

function verdictOf({ works, why }: KeptVerdict): KvmVerdict {
  return { works, why, final: works, settled: true };
}

/** To kilnd: a VM's own user is given the way to it (jail/own-device.ts), and the test boot goes that way. */
async function whyClosed(device: string): Promise<string | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return `no ${device}`;
    return `no right to open ${device} (join its group, usually "kvm")`;
  }
}

async function readVerdict(path: string, key: string): Promise<KeptVerdict | undefined> {
  // A damaged cache is no cache.
  const found = (await readJson(path).catch(() => undefined)) as Partial<Record<string, unknown>> | undefined;
  if (found?.key !== key || typeof found.works !== "boolean" || typeof found.why !== "string")
    return undefined;
  // Written before late boots were told apart: tried again once.
  const isLate = /no word from the guest|did not end in time/.test(found.why);
  const lateTries = typeof found.lateTries === "number" ? found.lateTries : isLate ? 1 : 0;
  const triedAt = typeof found.triedAt === "number" ? found.triedAt : 0;
  return { key, works: found.works, why: found.why, lateTries, triedAt };
}
