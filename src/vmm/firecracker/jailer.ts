// Firecracker's own jailer, for a root daemon that was told to use it: a directory that becomes Firecracker's root, with hard links of the few
// files it needs. Plan and preparation; the jailer itself does chroot, mount namespace, device nodes and the change of
// user. Sockets in the jail are reached through a short link: its own path is longer than a socket's may be.

import { chown, link, rm, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { makeDirectory, writeJsonAtomic } from "../../base/files.js";
import { planEnvironment } from "../../base/privileges.js";
import { tapsOf } from "../cards.js";
import { makeFifos } from "../fifo.js";
import type { Confined } from "../jail/confiner.js";
import type { VmmSpec } from "../types.js";
import { VmmProcess } from "../vmm-process.js";
import { planConfig } from "./config.js";
import { planNamespace } from "./namespace.js";
import { type FirecrackerPaths, planArguments, planPaths } from "./paths.js";
import type { LaunchWay } from "./way.js";

export interface JailPlan {
  /** --chroot-base-dir; all of the jail is below it. */
  readonly base: string;
  /** Firecracker's root directory. */
  readonly root: string;
  /** Short way to it. */
  readonly link: string;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Files of the host that Firecracker needs, and their names in the jail. */
  readonly files: readonly { readonly from: string; readonly name: string }[];
  /** The spec as Firecracker sees it. */
  readonly spec: VmmSpec;
  readonly argv: readonly string[];
}

/** @param runAs the VM's own user: the jailer changes to it */
export function planJail(
  spec: VmmSpec,
  runAs: NonNullable<VmmSpec["runAs"]>,
  jailer: string,
  program: string,
): JailPlan {
  const base = join(spec.stateDirectory, "jail");
  const disks = spec.disks.map((disk) => ({ disk, name: `disk-${disk.id}` }));
  return {
    base,
    root: join(base, basename(program), spec.vmId, "root"),
    link: join(spec.runDirectory, "j"),
    owner: runAs,
    files: [
      { from: spec.kernel, name: "vmlinux" },
      { from: spec.initrd, name: "initrd" },
      ...disks.map(({ disk, name }) => ({ from: disk.path, name })),
    ],
    spec: {
      ...spec,
      kernel: "/vmlinux",
      initrd: "/initrd",
      disks: disks.map(({ disk, name }) => ({ ...disk, path: `/${name}` })),
    },
    argv: [
      jailer,
      ...["--id", spec.vmId, "--exec-file", program],
      ...["--uid", String(runAs.uid), "--gid", String(runAs.gid)],
      ...["--chroot-base-dir", base],
      "--",
      // The jailer hands --id on by itself.
      ...planArguments(spec.vmId, planPaths("/")).slice(2),
    ],
  };
}

/**
 * Makes the jail anew with all its files.
 *
 * @throws KilnError failed_precondition `jail-other-file-system` where a file cannot be linked into it
 */
async function makeJail(plan: JailPlan): Promise<void> {
  await removeJail(plan);
  await makeDirectory(plan.root);
  await chown(plan.root, plan.owner.uid, plan.owner.gid);
  for (const { from, name } of plan.files) await linkInto(plan.root, from, name);
  await symlink(plan.root, plan.link);
}

/** What is in it are links: the files themselves stay. */
async function removeJail(plan: Pick<JailPlan, "base" | "link">): Promise<void> {
  await rm(plan.base, { recursive: true, force: true });
  await rm(plan.link, { force: true });
}

async function linkInto(root: string, from: string, name: string): Promise<void> {
  try {
    await link(from, join(root, name));
  } catch (error) {
    if (errnoOf(error) !== "EXDEV") throw error;
    throw new KilnError(
      Code.FailedPrecondition,
      `put ${from} into the VM's jail: it is on another file system`,
      {
        reason: "jail-other-file-system",
        hint: "keep kernels, images and VMs below one data root",
        cause: error,
      },
    );
  }
}

/** What the jailer leaves as the host's: it makes a mount namespace only, and a pid namespace would hide the VMM's pid. */
const EMPTY = ["unshare", "--net", "--ipc", "--uts", "--"] as const;

/** The jailer clears the environment and closes all descriptors but three: disks are not locked, it has no filter of ours. */
export class JailerWay implements LaunchWay {
  readonly #spec: VmmSpec;
  readonly #plan: JailPlan;
  readonly #version: string;
  readonly paths: FirecrackerPaths;

  constructor(spec: VmmSpec, runAs: NonNullable<VmmSpec["runAs"]>, jailer: string, found: FoundFirecracker) {
    this.#spec = spec;
    this.#version = found.version;
    this.#plan = planJail(spec, runAs, jailer, found.program);
    this.paths = planPaths(this.#plan.link);
  }

  async prepare(): Promise<void> {
    await makeJail(this.#plan);
    const { console, log, metrics, config } = this.paths;
    await makeFifos([console, log, metrics], this.#spec.runAs);
    const content = planConfig(this.#plan.spec, this.#version, planPaths("/"));
    await writeJsonAtomic(config, content, { mode: 0o644 });
  }

  async start(stdout: number): Promise<Confined> {
    const { argv, base, link: jailLink, owner } = this.#plan;
    const spec = this.#spec;
    const taps = tapsOf(spec);
    const user = { uid: 0, owner: owner.uid, drops: false };
    const process = await VmmProcess.spawn({
      argv: taps.length === 0 ? [...EMPTY, ...argv] : planNamespace(argv, taps, user),
      env: planEnvironment(spec.environment),
      stdout,
    });
    const facts = { jailBase: base, jailLink };
    return { process, limited: Promise.resolve(), join: () => Promise.resolve(), facts };
  }

  remove(): Promise<void> {
    return removeJail(this.#plan);
  }
}

interface FoundFirecracker {
  readonly program: string;
  readonly version: string;
}

/** By the facts of a record; earlier releases called the directory otherwise. */
export async function removeRecordedJail(facts: Readonly<Record<string, string>>): Promise<void> {
  const { jailLink, jailBase = facts.jail } = facts;
  if (jailLink !== undefined && jailBase !== undefined) await removeJail({ base: jailBase, link: jailLink });
}
