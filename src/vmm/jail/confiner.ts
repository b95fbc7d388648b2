// Starts VMMs confined: in a jail where this host can make one, under a cgroup where it may. What can't be had is
// refused, or told, never left out in silence.

import { readFile } from "node:fs/promises";
import { arch } from "node:os";
import { join } from "node:path";
import { makeDirectory } from "../../base/files.js";
import { planEnvironment } from "../../base/privileges.js";
import type { VmmRecord, VmmSpec } from "../types.js";
import type { SpawnRequest } from "../vmm-process.js";
import { type CgroupVerdict, prepareCgroups, VmCgroup } from "./cgroup.js";
import { planCgroups, readCgroupHost } from "./cgroup-place.js";
import { type LaunchedVmm, launchVmm } from "./launch.js";
import { type DeviceAccess, planOwnDevices } from "./own-device.js";
import {
  type JailFile,
  type JailNetwork,
  type JailTree,
  type OpenedFile,
  planJail,
  planUnconfined,
  type ResourceLimits,
  unconfinedPlaces,
} from "./plan.js";
import { AF_UNIX, jailFilter } from "./seccomp.js";
import type { Architecture } from "./syscalls.js";
import { type JailVerdict, judgeJail, requireJail } from "./verdict.js";

export interface ConfinerOptions {
  /** Path or name; default bwrap. */
  readonly bwrap?: string | undefined;
  /** Run VMMs without a jail where none can be made, instead of refusing. */
  readonly allowUnconfined?: boolean | undefined;
  /** Cgroup of version 2 in which VMs get theirs, where it is not kilnd's own; relative to that one or from the root. */
  readonly vmCgroup?: string | undefined;
}

/** What holds on this host, for `kiln info`. */
export interface Confinement {
  readonly jail: JailVerdict;
  readonly cgroups: CgroupVerdict;
  readonly unconfinedAllowed: boolean;
}

export interface ConfinedLaunch {
  readonly spec: VmmSpec;
  readonly driver: "qemu" | "firecracker";
  /** The VMM's real path. */
  readonly program: string;
  readonly tree: () => Promise<JailTree>;
  readonly files: readonly JailFile[];
  readonly listeners: readonly string[];
  readonly opened?: readonly OpenedFile[] | undefined;
  readonly devices: readonly string[];
  /** To the devices. */
  readonly access?: DeviceAccess | undefined;
  /** Of the VMM beside the guest's memory. */
  readonly overheadBytes: number;
  /** @param at where the VMM finds a file of `files` */
  readonly command: (at: (file: JailFile) => string) => readonly string[];
  /** Words in front of everything, the jail too: namespaces with the VMM's taps, a lock of its disks. */
  readonly around?: ((argv: readonly string[]) => readonly string[]) | undefined;
  /** Default: empty. */
  readonly network?: JailNetwork | undefined;
  readonly stdout?: SpawnRequest["stdout"] | undefined;
  readonly explain?: SpawnRequest["explain"];
}

export interface Confined extends LaunchedVmm {
  /** For the VM's record. */
  readonly facts: Readonly<Record<string, string>>;
}

/** How long a refusal is kept: a host that was busy, or lacked bubblewrap, is looked at again. */
const REFUSAL_KEPT_MS = 5_000;
const MAX_OPEN_FILES = 1024;
/** QEMU has up to 64 threads for its disks. */
const MAX_THREADS = 128;
/** For page tables and what the kernel charges besides: 1/16. */
const CHARGED_PART = 16;

export class Confiner {
  readonly #options: ConfinerOptions;
  readonly #uid = process.getuid?.() ?? 0;
  readonly #now: () => number;
  #found: Promise<Confinement> | undefined;
  #keptUntil = Number.POSITIVE_INFINITY;

  /** @param now for tests; default: a clock that only goes on */
  constructor(options: ConfinerOptions, now: () => number = () => performance.now()) {
    this.#now = now;
    this.#options = options;
  }

  /** Found out by trying, and kept where a jail can be made. */
  confinement(): Promise<Confinement> {
    if (this.#found === undefined || this.#now() >= this.#keptUntil) {
      this.#keptUntil = Number.POSITIVE_INFINITY; // one look at a time
      this.#found = this.#find();
      const keepAWhile = () => {
        this.#keptUntil = this.#now() + REFUSAL_KEPT_MS;
      };
      this.#found.then(({ jail }) => (jail.holds ? undefined : keepAWhile()), keepAWhile);
    }
    return this.#found;
  }

  /** @throws KilnError failed_precondition `no-jail`; `vmm-not-started`; what opening the files says */
  async launch(request: ConfinedLaunch): Promise<Confined> {
    const { jail, cgroups, unconfinedAllowed } = await this.confinement();
    if (!unconfinedAllowed) requireJail(jail);
    const { spec } = request;
    const inner = jail.holds ? await this.#planJail(request, jail) : await this.#planUnconfined(request);
    const around = request.around?.(inner.argv) ?? inner.argv;
    const plan = { ...inner, argv: await ownDevices(request, around) };
    const { place } = cgroups;
    const cgroup = Promise.resolve(place && VmCgroup.create(place, spec.vmId, limitsOf(request)));
    cgroup.catch(() => undefined);
    const executable = jail.holds ? (jail.bwrap ?? "") : request.program;
    const uid = spec.runAs?.uid ?? this.#uid;
    try {
      const launched = await launchVmm({
        plan,
        cgroup,
        filter: jailFilter({ architecture: arch() as Architecture, families: [AF_UNIX] }),
        environment: spec.environment ?? {},
        runDirectory: spec.runDirectory,
        record: { vmId: spec.vmId, driver: request.driver, executable, uid },
        ...{ stdout: request.stdout, explain: request.explain },
      });
      const facts = {
        jail: jail.holds ? jail.way : "none",
        ...(place === undefined ? {} : { cgroup: "own" }),
      };
      return { ...launched, facts };
    } catch (error) {
      await cgroup.then((own) => own?.close()).catch(() => undefined);
      throw error;
    }
  }

  /** Where the VMM will find files: for what must be written down before it starts. */
  async places(files: readonly JailFile[]): Promise<(file: JailFile) => string> {
    const { jail } = await this.confinement();
    return jail.holds ? ({ at }) => at : unconfinedPlaces(files, 0);
  }

  /** The cgroup of a VM that an earlier kilnd started, by where its VMM is: this kilnd may make them elsewhere. */
  async found(vmId: string, record: Pick<VmmRecord, "process" | "facts">): Promise<VmCgroup | undefined> {
    const found = await VmCgroup.around(record.process.pid);
    if (found !== undefined || record.facts.cgroup === undefined) return found;
    // Its VMM has ended.
    const { place } = (await this.confinement()).cgroups;
    return place && VmCgroup.of(place, vmId);
  }

  async #find(): Promise<Confinement> {
    const [jail, cgroups] = await Promise.all([
      judgeJail({ bwrap: this.#options.bwrap, uid: this.#uid }),
      readCgroupHost().then((host) => prepareCgroups(planCgroups(host, this.#options.vmCgroup))),
    ]);
    return { jail, cgroups, unconfinedAllowed: this.#options.allowUnconfined ?? false };
  }

  async #planJail(request: ConfinedLaunch, jail: JailVerdict) {
    const { spec, files, listeners, opened, devices, access } = request;
    const groups = access?.groups ?? [];
    return planJail({
      ...{
        way: jail.way,
        bwrap: jail.bwrap ?? "",
        tree: await request.tree(),
        files,
        listeners,
        opened,
        devices,
        groups,
      },
      network: request.network ?? "empty",
      environment: planEnvironment(spec.environment),
      runAs: spec.runAs,
      limits: await this.#limits(spec),
      command: request.command(({ at }) => at),
    });
  }

  async #planUnconfined(request: ConfinedLaunch) {
    const { spec, files, listeners, opened, command } = request;
    const groups = request.access?.groups ?? [];
    const limits = await this.#limits(spec);
    const parts = { files, listeners, opened, command };
    return planUnconfined({ runAs: spec.runAs, uid: this.#uid, groups, limits, ...parts });
  }

  async #limits({ runAs, vcpus }: VmmSpec): Promise<ResourceLimits> {
    const own = this.#uid === 0 && runAs !== undefined;
    const openFiles = Math.min(MAX_OPEN_FILES, await hardOpenFiles());
    return { openFiles, processes: own ? MAX_THREADS + vcpus : undefined };
  }
}

/** Where nodes of the VM's own are mounted; empty for everybody else. */
const OWN_DEVICES = "dev";

async function ownDevices({ spec, access }: ConfinedLaunch, argv: readonly string[]) {
  const { closed } = access ?? { closed: [] };
  if (closed.length === 0 || spec.runAs === undefined) return argv;
  const directory = join(spec.runDirectory, OWN_DEVICES);
  await makeDirectory(directory);
  return planOwnDevices(argv, { closed, owner: spec.runAs.uid, directory });
}

function limitsOf({ spec, overheadBytes }: ConfinedLaunch) {
  const { memoryBytes, vcpus } = spec;
  return {
    memoryBytes: memoryBytes + Math.ceil(memoryBytes / CHARGED_PART) + overheadBytes,
    // One more than the guest's: its disks and its console are threads beside them.
    cpus: vcpus + 1,
    processes: MAX_THREADS + vcpus,
  };
}

/** A limit can be lowered only. */
async function hardOpenFiles(): Promise<number> {
  const text = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const hard = /^Max open files +\S+ +(\d+)/m.exec(text)?.[1];
  return hard === undefined ? Number.POSITIVE_INFINITY : Number(hard);
}
