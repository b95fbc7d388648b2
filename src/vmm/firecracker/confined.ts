// Firecracker in kiln's jail: its files as descriptors, its log and metrics as FIFOs of kilnd's, and one directory of its
// user's, in which it makes its sockets. Plan and launch.

import { chmod, chown, mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { exists, writeJsonAtomic } from "../../base/files.js";
import { hasCard, tapsOf } from "../cards.js";
import { makeFifos } from "../fifo.js";
import type { Confined, Confiner } from "../jail/confiner.js";
import { accessTo } from "../jail/own-device.js";
import type { JailFile, JailTree } from "../jail/plan.js";
import { KVM_DEVICE } from "../kvm-verdict.js";
import type { VmmSpec } from "../types.js";
import type { ProcessEnd } from "../vmm-process.js";
import { maxDisksOf, planConfig } from "./config.js";
import { HOT, makeSpares, planSpares, type Spare } from "./hot-drives.js";
import { planNamespace } from "./namespace.js";
import { type FirecrackerPaths, planArguments, planPaths, SOCKETS, type ToldPaths } from "./paths.js";
import { PORTS, planLinks } from "./ports.js";
import type { LaunchWay } from "./way.js";

type At = (file: JailFile) => string;

export interface ConfinedPlan {
  readonly paths: FirecrackerPaths;
  /** The directory of its sockets. */
  readonly sockets: JailFile;
  /** That of its ports' sockets, where it has ports. */
  readonly ports: JailFile | undefined;
  /** That of the disks which may come, where there is room for some, and what is in their places. */
  readonly hot: JailFile | undefined;
  readonly spares: readonly Spare[];
  readonly files: readonly JailFile[];
  /** The configuration file's content. */
  readonly config: (at: At) => Readonly<Record<string, unknown>>;
  readonly command: (program: string, at: At) => readonly string[];
}

/** Pure. @throws KilnError invalid_argument for a spec that this machine cannot have */
export function planConfined(spec: VmmSpec, version: string): ConfinedPlan {
  const directory = join(spec.runDirectory, SOCKETS);
  const paths = planPaths(spec.runDirectory, directory);
  const readOnly = (path: string, at: string, what: string): JailFile => ({
    path,
    at,
    writable: false,
    what,
  });
  const fifo = (path: string, at: string, what: string): JailFile => ({
    ...{ path, at, writable: true, type: "fifo", what },
  });
  const kernel = readOnly(spec.kernel, "/vmlinux", "kernel");
  const initrd = readOnly(spec.initrd, "/initrd", "initramfs");
  const disks = spec.disks.map(
    ({ id, path, readOnly: only }): JailFile => ({
      ...{ path, at: `/disk-${id}`, writable: !only, what: `disk ${id}` },
    }),
  );
  const config = readOnly(paths.config, "/config.json", "configuration");
  const log = fifo(paths.log, "/log", "log");
  const metrics = fifo(paths.metrics, "/metrics", "metrics");
  const sockets: JailFile = {
    ...{
      path: directory,
      at: `/${SOCKETS}`,
      writable: true,
      type: "directory",
      what: "directory of sockets",
    },
  };
  const ports: JailFile | undefined = spec.ports.length === 0 ? undefined : portsDirectory(spec);
  const spares = planSpares(spec, maxDisksOf(spec));
  const hot: JailFile | undefined = spares.length === 0 ? undefined : hotDirectory(spec);
  const told = (at: At): ToldPaths => ({
    ...{ config: at(config), log: at(log), metrics: at(metrics) },
    ...{ api: `${at(sockets)}/api.sock`, vsock: `${at(sockets)}/vsock.sock` },
  });
  const seen = (at: At): VmmSpec => ({
    ...spec,
    ...{ kernel: at(kernel), initrd: at(initrd) },
    disks: [
      ...spec.disks.map((disk, index) => ({ ...disk, path: at(disks[index] as JailFile) })),
      ...spares.map((spare) => ({ ...spare, path: `${at(hot as JailFile)}/${spare.id}` })),
    ],
  });
  const directories = [sockets, ports, hot].filter((directory) => directory !== undefined);
  return {
    ...{ paths, sockets, ports, hot, spares },
    files: [kernel, initrd, ...disks, config, log, metrics, ...directories],
    config: (at) => planConfig(seen(at), version, told(at)),
    command: (program, at) => [program, ...planArguments(spec.vmId, told(at))],
  };
}

/** Read-only is its directory alone: connecting to a socket needs the socket's mode. */
function portsDirectory({ runDirectory }: VmmSpec): JailFile {
  const path = join(runDirectory, PORTS);
  return { path, at: `/${PORTS}`, writable: false, type: "directory", what: "directory of ports" };
}

/** Writable is what it shows; the directory itself is its user's only where that is kilnd's too. */
function hotDirectory({ stateDirectory }: VmmSpec): JailFile {
  const path = join(stateDirectory, HOT);
  return { path, at: `/${HOT}`, writable: true, type: "directory", what: "directory of disks" };
}

/** Exit status of a VMM whose disk another one has (EX_TEMPFAIL of sysexits.h; Firecracker itself never ends with it). */
const DISK_IN_USE = 75;

/**
 * Firecracker does not lock its disks, and two writers ruin a file system. flock(1) takes the lock and becomes the
 * command, which keeps the descriptor, and with it the lock, to its end.
 */
export function lockWords(spec: VmmSpec): string[] {
  const words = ["flock", "--nonblock", "--no-fork", "--conflict-exit-code", String(DISK_IN_USE)];
  return spec.disks.filter(({ readOnly }) => !readOnly).flatMap(({ path }) => [...words, path]);
}

/** What the end of a Firecracker that never ran means, where it means something. */
export function explainEnd({ code }: ProcessEnd): KilnError | undefined {
  if (code !== DISK_IN_USE) return undefined;
  return new KilnError(Code.FailedPrecondition, "a disk of the VM is in use by another VMM", {
    reason: "disk-in-use",
    hint: "is the VM running already?",
  });
}

/** QEMU's figure: Firecracker itself takes 5 MiB, but what a limit leaves free costs nothing. */
const OVERHEAD_BYTES = 320 * 1024 * 1024;

export interface ConfinedHost {
  readonly confiner: Confiner;
  /** Real path of firecracker. */
  readonly program: string;
  readonly version: string;
  readonly tree: () => Promise<JailTree>;
}

export class ConfinedWay implements LaunchWay {
  readonly #spec: VmmSpec;
  readonly #host: ConfinedHost;
  readonly #plan: ConfinedPlan;

  constructor(spec: VmmSpec, host: ConfinedHost) {
    this.#spec = spec;
    this.#host = host;
    this.#plan = planConfined(spec, host.version);
  }

  get paths(): FirecrackerPaths {
    return this.#plan.paths;
  }

  /** Firecracker refuses sockets that exist already. */
  async prepare(): Promise<void> {
    await this.remove();
    const { paths, sockets, ports, hot, spares, files, config } = this.#plan;
    const { runAs } = this.#spec;
    const at = await this.#host.confiner.places(files);
    await mkdir(sockets.path, { mode: 0o700 });
    if (ports !== undefined) await this.#makePorts(ports.path, at(ports));
    if (hot !== undefined) await makeSpares(hot.path, spares, runAs);
    // From here on what is in it may be its user's.
    if (runAs !== undefined) await chown(sockets.path, runAs.uid, runAs.gid);
    await makeFifos([paths.console, paths.log, paths.metrics], runAs);
    // Its user reads it; the directory is closed to all others.
    await writeJsonAtomic(paths.config, config(at), { mode: runAs === undefined ? 0o600 : 0o644 });
  }

  /** @param seen where the VMM sees the directory */
  async #makePorts(directory: string, seen: string): Promise<void> {
    await mkdir(directory);
    // Its user goes through it, and reads nothing there: whatever the umask.
    await chmod(directory, 0o711);
    for (const { path, target } of planLinks(this.#spec.ports, this.paths.vsock, seen))
      await symlink(target, path);
  }

  async start(stdout: number): Promise<Confined> {
    const { confiner, program, tree } = this.#host;
    const spec = this.#spec;
    const { jail } = await confiner.confinement();
    const taps = tapsOf(spec);
    const user = { uid: process.getuid?.() ?? 0, owner: spec.runAs?.uid, drops: !jail.holds };
    const locked = (argv: readonly string[]) => [...lockWords(spec), ...argv];
    const started = await confiner.launch({
      ...{ spec, driver: "firecracker", program, tree, files: this.#plan.files, listeners: [], stdout },
      devices: await this.#devices(),
      access: await accessTo(KVM_DEVICE, spec.runAs),
      overheadBytes: OVERHEAD_BYTES,
      command: (at) => this.#plan.command(program, at),
      around: (argv) => (taps.length === 0 ? locked(argv) : planNamespace(locked(argv), taps, user)),
      network: taps.length === 0 ? "empty" : "outer",
      explain: explainEnd,
    });
    const spares = String(this.#plan.spares.length);
    return { ...started, facts: { ...started.facts, sockets: SOCKETS, spares } };
  }

  async remove(): Promise<void> {
    const { paths, sockets } = this.#plan;
    await rm(join(this.#spec.runDirectory, PORTS), { recursive: true, force: true });
    await rm(join(this.#spec.stateDirectory, HOT), { recursive: true, force: true });
    for (const path of [paths.console, paths.log, paths.metrics, paths.config])
      await rm(path, { force: true });
    await rm(sockets.path, { recursive: true, force: true });
  }

  async #devices(): Promise<string[]> {
    const wanted = ["/dev/null", "/dev/urandom", KVM_DEVICE];
    if (hasCard(this.#spec, "tap")) wanted.push("/dev/net/tun");
    const there = await Promise.all(wanted.map((path) => exists(path)));
    return wanted.filter((_, index) => there[index]);
  }
}
