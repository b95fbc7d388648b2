// Does KVM work here? A node that opens proves nothing: on some clouds it opens and no stock kernel boots. So a real
// kernel is booted once with a deadline, and the verdict kept for this host kernel and this VMM.

import { access, constants } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { errnoOf } from "../base/errors.js";
import { readJson, writeJsonAtomic } from "../base/files.js";
import type { VmmKind } from "./types.js";

/** Something to boot for the test: any kernel that kiln boots, with or without an initramfs. */
export interface ProbeKernel {
  readonly vmlinux: string;
  readonly initrd?: string | undefined;
}

export interface KvmVerdict {
  readonly works: boolean;
  readonly why: string;
  /** False: it was not tried, and may be later. */
  readonly final: boolean;
}

export interface KvmProbe {
  readonly kind: VmmKind;
  readonly version: string;
  readonly cacheDirectory: string;
  readonly kernel: ProbeKernel | undefined;
  /** Boots the kernel under KVM. Resolves to undefined where it ran, else to why not. */
  readonly boot: (kernel: ProbeKernel) => Promise<string | undefined>;
  /** Default: /dev/kvm. */
  readonly device?: string | undefined;
}

const DEVICE = "/dev/kvm";

/** Cheap but for the one boot per host kernel and VMM version. */
export async function judgeKvm(probe: KvmProbe): Promise<KvmVerdict> {
  const { device = DEVICE } = probe;
  const closed = await whyClosed(device);
  if (closed !== undefined) return { works: false, why: closed, final: true };
  const path = join(probe.cacheDirectory, `kvm-${probe.kind}.json`);
  const key = `${release()} ${probe.version}`;
  const cached = await readVerdict(path, key);
  if (cached !== undefined) return cached;
  if (probe.kernel === undefined) {
    return { works: false, why: `${device} is there, not probed yet (no kernel to boot)`, final: false };
  }
  const failure = await probe.boot(probe.kernel);
  const verdict: KvmVerdict =
    failure === undefined
      ? { works: true, why: "a test boot under KVM succeeded", final: true }
      : { works: false, why: `${device} is there but a test boot under KVM failed: ${failure}`, final: true };
  await writeJsonAtomic(path, { key, works: verdict.works, why: verdict.why }, { durable: false });
  return verdict;
}

async function whyClosed(device: string): Promise<string | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return `no ${device}`;
    return `no right to open ${device} (join its group, usually "kvm")`;
  }
}

async function readVerdict(path: string, key: string): Promise<KvmVerdict | undefined> {
  // A damaged cache is no cache.
  const found = (await readJson(path).catch(() => undefined)) as Partial<Record<string, unknown>> | undefined;
  if (found?.key !== key || typeof found.works !== "boolean" || typeof found.why !== "string")
    return undefined;
  return { works: found.works, why: found.why, final: true };
}
