// Which VMM runs a VM: Firecracker where it is installed and KVM really works, else QEMU with KVM, else QEMU with
// software emulation; or what the user names.

import { Code, KilnError } from "../base/errors.js";
import type { Abortable } from "../base/progress.js";
import type { UserNetworkLook } from "./cards.js";
import { createFirecrackerDriver } from "./firecracker/driver.js";
import { type Confinement, Confiner, type ConfinerOptions } from "./jail/confiner.js";
import type { ProbeKernel } from "./kvm-verdict.js";
import { createQemuDriver } from "./qemu/driver.js";
import { holdVmm, recallVmm } from "./recall.js";
import type { VmmDriver, VmmKind, VmmProbe } from "./types.js";

export interface VmmsOptions extends ConfinerOptions {
  /** Existing directory of the daemon for verdicts that cost time. */
  readonly cacheDirectory: string;
  /** Whether something can be connected to cards. */
  readonly userNetwork?: UserNetworkLook | undefined;
  /** The kernel for KVM's test boot; resolves to undefined until there is one. */
  readonly probeKernel?: (() => Promise<ProbeKernel | undefined>) | undefined;
  /** Path or name; default qemu-system-x86_64. */
  readonly qemu?: string | undefined;
  /** Path of `kiln-sendfd`, which hands QEMU the disks that are attached to a VM which runs. */
  readonly sendfd?: string | undefined;
  /** Path or name; default firecracker. */
  readonly firecracker?: string | undefined;
  /** Path or name of Firecracker's jailer, where root is to use it in place of kiln's own jail. */
  readonly jailer?: string | undefined;
  /** Directories that Firecracker's jail shows besides the host's programs. */
  readonly firecrackerFiles?: readonly string[] | undefined;
  /** True: take Firecracker without KVM's test boot (the stand-in of the tests brings no KVM). */
  readonly trustFirecracker?: boolean | undefined;
}

export interface VmmChoice {
  readonly driver: VmmDriver;
  readonly probe: VmmProbe;
  /** For people: which and why. */
  readonly why: string;
}

/** What may be asked for by name. */
const VMM_NAMES = ["firecracker", "qemu", "qemu-kvm", "qemu-tcg"] as const;
export type VmmName = (typeof VMM_NAMES)[number];

/** The VMMs of this host. */
export interface Vmms {
  /**
   * @param name empty or undefined: the best that works
   * @throws KilnError: invalid_argument `unknown-vmm`, failed_precondition `vmm-unusable` or `no-vmm`
   */
  choose(name?: string, options?: Abortable): Promise<VmmChoice>;
  /** All verdicts in order of preference, for `kiln info`. */
  probes(options?: Abortable): Promise<VmmProbe[]>;
  /** How VMMs are confined on this host, for `kiln info`. */
  confinement(): Promise<Confinement>;
  /** The driver for a record of an earlier kilnd. */
  driver(kind: VmmKind): VmmDriver;
  /** For VMMs whose record is lost, and for those that can't be spoken to: see recall.ts. */
  readonly recall: typeof recallVmm;
  readonly hold: typeof holdVmm;
}

export function createVmms(given: VmmsOptions): Vmms {
  const confiner = new Confiner(given);
  const options = { ...given, confiner };
  const drivers: Record<VmmName, VmmDriver> = {
    firecracker: createFirecrackerDriver(options),
    qemu: createQemuDriver(options),
    "qemu-kvm": createQemuDriver({ ...options, accelerator: "kvm" }),
    "qemu-tcg": createQemuDriver({ ...options, accelerator: "tcg" }),
  };
  const preferred: readonly VmmDriver[] = [drivers.firecracker, drivers.qemu];
  return {
    recall: recallVmm,
    hold: holdVmm,
    driver: (kind) => drivers[kind],
    confinement: () => confiner.confinement(),
    probes: (abort) => Promise.all(preferred.map((driver) => driver.probe(abort))),
    choose: (name, abort) =>
      name === undefined || name === "" ? best(preferred, abort) : named(drivers, name, abort),
  };
}

async function best(preferred: readonly VmmDriver[], abort?: Abortable): Promise<VmmChoice> {
  const refusals: string[] = [];
  for (const driver of preferred) {
    const probe = await driver.probe(abort);
    if (probe.usable) return { driver, probe, why: [probe.why, ...refusals].join("; ") };
    refusals.push(`${driver.kind} not used: ${probe.why}`);
  }
  throw new KilnError(Code.FailedPrecondition, `no VMM works on this host: ${refusals.join("; ")}`, {
    reason: "no-vmm",
    hint: "install the Debian package qemu-system-x86",
  });
}

async function named(
  drivers: Readonly<Record<VmmName, VmmDriver>>,
  name: string,
  abort?: Abortable,
): Promise<VmmChoice> {
  const known = VMM_NAMES.find((candidate) => candidate === name);
  if (known === undefined) {
    throw new KilnError(Code.InvalidArgument, `there is no VMM "${name}"`, {
      reason: "unknown-vmm",
      hint: `choose one of ${VMM_NAMES.join(", ")}`,
    });
  }
  const driver = drivers[known];
  const probe = await driver.probe(abort);
  if (probe.usable) return { driver, probe, why: probe.why };
  throw new KilnError(Code.FailedPrecondition, `${name} does not work on this host: ${probe.why}`, {
    reason: "vmm-unusable",
  });
}
