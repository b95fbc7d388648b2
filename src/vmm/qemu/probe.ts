// What QEMU is here and whether it has KVM, decided once.

import { stat } from "node:fs/promises";
import { atLeast, findProgram, versionText } from "../../base/programs.js";
import { SingleFlight } from "../../base/single-flight.js";
import { BOOT_MEMORY_MIB, type BootPlan } from "../jailed-boot.js";
import { judgeKvm, type KvmVerdict, type ProbeKernel } from "../kvm-verdict.js";
import type { BootFailure } from "../test-boot.js";
import type { Accelerator } from "../types.js";

export interface QemuProbeOptions {
  /** Existing directory of the daemon for verdicts that cost time. */
  readonly cacheDirectory: string;
  /** Path or name; default qemu-system-x86_64. */
  readonly qemu?: string | undefined;
  /** Overrules the verdict on KVM. */
  readonly accelerator?: Accelerator | undefined;
  /** The kernel for KVM's test boot, once there is one. */
  readonly probeKernel?: (() => Promise<ProbeKernel | undefined>) | undefined;
  /** Default: /dev/kvm. */
  readonly kvmDevice?: string | undefined;
}

export interface QemuVerdict {
  /** Undefined: unusable. */
  readonly accelerator: Accelerator | undefined;
  readonly found: { readonly why: string; readonly path?: string; readonly version?: string };
  readonly final: boolean;
  /** Good for a moment: nothing that is under way here, like the first boot's kernel, changes it. */
  readonly settled: boolean;
}

const PROGRAM = "qemu-system-x86_64";
/** The oldest with everything that config.ts asks for, and what Debian 12 has. */
const LEAST_VERSION = "7.2";

interface FoundProgram {
  readonly path: string;
  readonly version: string | undefined;
  /** Of the file: another build at the same path is another program. */
  readonly mtimeMs: number;
}

/** A boot of the kernel under KVM, by this QEMU. */
export type QemuTestBoot = (path: string, kernel: ProbeKernel) => Promise<BootFailure | undefined>;

/** Probing again at every start of a VM would cost it tens of milliseconds: what cannot change is kept. */
export class QemuProber {
  readonly #options: QemuProbeOptions;
  readonly #boot: QemuTestBoot;
  readonly #running = new SingleFlight<QemuVerdict>();
  #program: FoundProgram | undefined;
  #verdict: QemuVerdict | undefined;

  constructor(options: QemuProbeOptions, boot: QemuTestBoot) {
    this.#options = options;
    this.#boot = boot;
  }

  probe(): Promise<QemuVerdict> {
    return this.#running.run("probe", {}, () => this.#probe());
  }

  async #probe(): Promise<QemuVerdict> {
    const name = this.#options.qemu ?? PROGRAM;
    const path = await findProgram(name);
    if (path === undefined)
      return unusable({ why: `${name} is not installed (Debian package qemu-system-x86)` });
    const { version } = await this.#inspect(path);
    if (version === undefined) return unusable({ why: `${path} tells no version`, path });
    if (!atLeast(version, LEAST_VERSION)) {
      return unusable({ why: `QEMU ${version} is older than ${LEAST_VERSION}`, path, version });
    }
    if (this.#verdict?.final === true) {
      return this.#verdict;
    }
    const { why, ...choice } = await chooseAccelerator(this.#options, path, version, this.#boot);
    this.#verdict = { ...choice, found: { why, path, version } };
    return this.#verdict;
  }

  async #inspect(path: string): Promise<FoundProgram> {
    const { mtimeMs } = await stat(path);
    if (this.#program?.path === path && this.#program.mtimeMs === mtimeMs) return this.#program;
    const version = /version ([0-9][0-9.]*)/.exec(await versionText(path))?.[1];
    this.#verdict = undefined;
    this.#program = { path, version, mtimeMs };
    return this.#program;
  }
}

interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  readonly why: string;
  readonly final: boolean;
  readonly settled: boolean;
}

async function chooseAccelerator(
  options: QemuProbeOptions,
  path: string,
  version: string,
  boot: QemuTestBoot,
): Promise<AcceleratorChoice> {
  if (options.accelerator !== undefined) {
    const why = `QEMU ${version} with ${options.accelerator === "kvm" ? "KVM" : "software emulation (TCG)"}, as asked for`;
    return { accelerator: options.accelerator, why, final: true, settled: true };
  }
  const verdict = await judgeKvm({
    kind: "qemu",
    version,
    cacheDirectory: options.cacheDirectory,
    kernel: await options.probeKernel?.(),
    boot: (kernel) => boot(path, kernel),
    device: options.kvmDevice,
  });
  return fromVerdict(verdict, version);
}

function fromVerdict(verdict: KvmVerdict, version: string): AcceleratorChoice {
  const how = verdict.works ? "KVM" : "software emulation (TCG)";
  return {
    accelerator: verdict.works ? "kvm" : "tcg",
    why: `QEMU ${version} with ${how}: ${verdict.why}`,
    final: verdict.final,
    settled: verdict.settled,
  };
}

/** No disk, no init: the kernel speaks, finds no root, panics, and -no-reboot ends QEMU. */
export function planTestBoot(program: string, { vmlinux }: ProbeKernel): BootPlan {
  const kernel = { path: vmlinux, at: "/vmlinux", writable: false, what: "kernel" };
  return { files: [kernel], command: (at) => testArguments(program, at(kernel)) };
}

function testArguments(program: string, kernel: string): string[] {
  return [
    program,
    ...["-M", "microvm,acpi=on", "-accel", "kvm", "-cpu", "host", "-m", `${BOOT_MEMORY_MIB}M`],
    ...["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-kernel", kernel, "-append", "console=ttyS0 reboot=t panic=-1 rdinit=/nonexistent"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
  ];
}

function unusable(found: QemuVerdict["found"]): QemuVerdict {
  return { accelerator: undefined, found, final: false, settled: false };
}
