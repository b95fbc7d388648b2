// What Firecracker is here and whether it can run: the binary, a version that has what kiln needs, a working KVM.

import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { writeJsonAtomic } from "../../base/files.js";
import { atLeast, findProgram, versionText } from "../../base/programs.js";
import { SingleFlight } from "../../base/single-flight.js";
import { BOOT_MEMORY_MIB, type BootPlan, type Places } from "../jailed-boot.js";
import { judgeKvm, type KvmVerdict, type ProbeKernel } from "../kvm-verdict.js";
import type { BootFailure } from "../test-boot.js";
import type { Accelerator } from "../types.js";

export interface FirecrackerProbeOptions {
  /** Existing directory of the daemon for verdicts that cost time. */
  readonly cacheDirectory: string;
  /** Path or name; default firecracker. */
  readonly firecracker?: string | undefined;
  /** Firecracker's jailer, path or name: what a root daemon is to use in place of kiln's own jail. */
  readonly jailer?: string | undefined;
  readonly probeKernel?: (() => Promise<ProbeKernel | undefined>) | undefined;
  /** Default: /dev/kvm. */
  readonly kvmDevice?: string | undefined;
  /** True: no test boot under KVM; for a Firecracker that is known to run (the stand-in of the tests). */
  readonly trustFirecracker?: boolean | undefined;
}

export interface FirecrackerVerdict {
  readonly usable: boolean;
  /** A trusted one may run on anything: it is given the time that emulation takes. */
  readonly accelerator: Accelerator;
  readonly found: { readonly why: string; readonly path?: string; readonly version?: string };
}

/** The first with ACPI tables, by which Debian's kernel finds its devices. */
const LEAST_VERSION = "1.8";

interface FoundProgram {
  readonly path: string;
  readonly version: string | undefined;
  readonly mtimeMs: number;
}

/** A boot of the kernel under KVM, by this Firecracker. */
export type FirecrackerTestBoot = (program: string, kernel: ProbeKernel) => Promise<BootFailure | undefined>;

export class FirecrackerProber {
  readonly #options: FirecrackerProbeOptions;
  readonly #boot: FirecrackerTestBoot;
  readonly #running = new SingleFlight<FirecrackerVerdict>();
  #program: FoundProgram | undefined;
  #kvm: KvmVerdict | undefined;

  constructor(options: FirecrackerProbeOptions, boot: FirecrackerTestBoot) {
    this.#options = options;
    this.#boot = boot;
  }

  probe(): Promise<FirecrackerVerdict> {
    return this.#running.run("probe", {}, () => this.#probe());
  }

  async #probe(): Promise<FirecrackerVerdict> {
    const accelerator = this.#options.trustFirecracker === true ? "tcg" : "kvm";
    return { accelerator, ...(await this.#find()) };
  }

  async #find(): Promise<Omit<FirecrackerVerdict, "accelerator">> {
    const name = this.#options.firecracker ?? "firecracker";
    const named = await findProgram(name);
    if (named === undefined) return { usable: false, found: { why: `${name} is not installed` } };
    // The jailer resolves links too, and names its chroot after what it finds.
    const path = await realpath(named);
    const { version } = await this.#inspect(path);
    if (version === undefined) return { usable: false, found: { why: `${path} tells no version`, path } };
    if (!atLeast(version, LEAST_VERSION)) {
      const why = `Firecracker ${version} is older than ${LEAST_VERSION}`;
      return { usable: false, found: { why, path, version } };
    }
    const kvm = await this.#judge(path, version);
    const found = { why: `Firecracker ${version}: ${kvm.why}`, path, version };
    return { usable: kvm.works, found };
  }

  async #inspect(path: string): Promise<FoundProgram> {
    const { mtimeMs } = await stat(path);
    if (this.#program?.path === path && this.#program.mtimeMs === mtimeMs) return this.#program;
    const version = /Firecracker v([0-9][0-9.]*(?:-[A-Za-z0-9.]+)?)/.exec(await versionText(path))?.[1];
    this.#kvm = undefined;
    this.#program = { path, version, mtimeMs };
    return this.#program;
  }

  async #judge(path: string, version: string): Promise<KvmVerdict> {
    if (this.#options.trustFirecracker === true)
      return { works: true, why: "trusted, not probed", final: true, settled: false };
    if (this.#kvm?.final === true) return this.#kvm;
    const { cacheDirectory, probeKernel, kvmDevice } = this.#options;
    this.#kvm = await judgeKvm({
      kind: "firecracker",
      version,
      cacheDirectory,
      kernel: await probeKernel?.(),
      boot: (kernel) => this.#boot(path, kernel),
      device: kvmDevice,
    });
    return this.#kvm;
  }
}

/** Path of the jailer that is to be used. @throws KilnError failed_precondition `no-jailer` where it is not there */
export async function findJailer(name: string | undefined): Promise<string | undefined> {
  if (name === undefined || process.getuid?.() !== 0) return undefined;
  const path = await findProgram(name);
  if (path !== undefined) return path;
  throw new KilnError(Code.FailedPrecondition, `${name}, Firecracker's jailer, is not installed`, {
    reason: "no-jailer",
    hint: "without the setting `jailer` VMs run in kiln's own jail",
  });
}

/** No disk, no init: the kernel speaks, finds no root, panics, resets; Firecracker ends. */
export async function planTestBoot(
  program: string,
  { vmlinux }: ProbeKernel,
  directory: string,
  places: Places,
): Promise<BootPlan> {
  const readOnly = (path: string, at: string, what: string) => ({ path, at, writable: false, what });
  const kernel = readOnly(vmlinux, "/vmlinux", "kernel");
  const config = readOnly(join(directory, "config.json"), "/config.json", "configuration");
  const boot_args = "console=ttyS0 reboot=k panic=-1 i8042.noaux i8042.nomux i8042.dumbkbd";
  const command: BootPlan["command"] = (at) => [program, "--no-api", "--config-file", at(config)];
  const files = [kernel, config];
  const content = {
    "boot-source": { kernel_image_path: (await places(files))(kernel), boot_args },
    "machine-config": { vcpu_count: 1, mem_size_mib: BOOT_MEMORY_MIB },
    drives: [],
  };
  // Its user reads it; the directory is closed to all others.
  await writeJsonAtomic(config.path, content, { mode: 0o644, durable: false });
  return { files, command };
}
