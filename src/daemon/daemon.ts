// kilnd: wires engine, API and socket, and takes them down again. VMs are none of its children's business: they go on
// when it ends, however it ends.

import { dirname, join } from "node:path";
import { createApi, type DaemonFacts } from "../api/index.js";
import { Code, KilnError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import type { Logger } from "../base/log.js";
import { type KilnPaths, kilnPaths } from "../base/paths.js";
import { makeTrustedDirectory, refuseSharedRoot } from "../base/trusted-path.js";
import { UndoStack } from "../base/undo.js";
import {
  closedParents,
  createRooms,
  createUserPerVm,
  DEFAULT_USER_RANGE,
  Engine,
  OWN_USER,
  type Ownership,
  type RoomOptions,
  readHost,
  UserRegistry,
} from "../engine/index.js";
import type { Config } from "./config.js";
import { openCri } from "./cri.js";
import { settingOf, toEngineSettings, toPullLimits } from "./engine-settings.js";
import { listenAt } from "./listen.js";
import { kernelFragments, packageFile, packagePasst, packageVersion } from "./package-files.js";
import { createProtocolServer } from "./protocol-server.js";
import { lockRoot, lockRunRoot } from "./root-lock.js";
import { CNI_CONFIGS, CNI_PLUGINS, SETTINGS, type SettingName } from "./settings-table.js";

/** One for the host, whatever data roots there are. */
const USER_REGISTRY = "/var/lib/kiln-host/users";

export interface RunningDaemon {
  readonly socket: string;
  /** Lets go of everything; VMs go on. */
  close(): Promise<void>;
}

/** Returns once the socket accepts; the state on disk is read behind it, and calls wait for that. */
export async function startDaemon(
  config: Config,
  env: NodeJS.ProcessEnv,
  log: Logger,
): Promise<RunningDaemon> {
  const steps = new UndoStack((what, error) => log.warn(what, { why: error.message }));
  try {
    const socket = await start(config, env, log, steps);
    return { socket, close: () => steps.rollback() };
  } catch (error) {
    await steps.rollback();
    throw error;
  }
}

async function start(config: Config, env: NodeJS.ProcessEnv, log: Logger, steps: UndoStack): Promise<string> {
  const paths = pathsOf(config, env);
  // Whoever can change one of these can be kilnd.
  for (const path of rootsOf(paths, env)) await refuseSharedRoot(path);
  for (const path of [paths.data, paths.run, dirname(paths.socket)]) await makeTrustedDirectory(path);
  // As root kernels are built below it by a user without privileges.
  await makeDirectory(cacheOf(paths), process.getuid?.() === 0 ? 0o711 : 0o700);
  const warnings = await lockRoots(paths, log, steps);

  const host = await readHost();
  const facts = factsOf(config, paths, warnings);
  const settings = toEngineSettings(config, host.facts.cpus);
  const engine = new Engine({
    dataRoot: paths.data,
    runRoot: paths.run,
    host,
    log,
    settings,
    ownership: await ownershipOf(config, paths),
    rooms: createRooms({
      ...roomOptions(config, paths, env, log),
      pullLimits: toPullLimits(config, settings.diskReserveBytes),
      layerLimits: settings.buildLimits,
    }),
  });
  // Reading the state must not keep a client waiting for the socket: calls wait for it one by one.
  const opened = engine.open();
  opened.catch((error: unknown) =>
    log.error("the state can't be read", { why: KilnError.from(error).message }),
  );
  steps.push("let go of the VMs", () => engine.close());

  const api = createApi({ engine, facts, ready: () => opened, log });
  await openCri(config, { engine, facts, interceptors: api.interceptors, log, steps });
  const server = createProtocolServer({ ...api, log });
  const group = settingOf(config, "group") ?? "kiln";
  const listening = await listenAt(server.socket, { path: paths.socket, group, flag: "--socket", log });
  steps.push("remove the socket", () => listening.unlink());
  steps.push("close the connections", () => server.close());
  steps.push("leave the clients to the next kilnd", async () => engine.leave());
  log.info("kilnd listens", { socket: listening.path, data: paths.data, version: facts.version });
  return listening.path;
}

/** @returns what a user should know of the locks */
async function lockRoots({ data, run }: KilnPaths, log: Logger, steps: UndoStack): Promise<string[]> {
  const lock = await lockRoot(data);
  steps.push("unlock the data root", () => lock.release());
  const runLock = await lockRunRoot(run, data);
  steps.push("unlock the run root", () => runLock.release());
  const warnings: string[] = [];
  for (const [path, { flaw }] of [
    [data, lock],
    [run, runLock],
  ] as const) {
    if (flaw === undefined) continue;
    log.warn("the kernel can't lock a root here: another kilnd in a container would not be seen", {
      path,
      why: flaw,
    });
    warnings.push(
      `${path} is not locked in the kernel (a second kilnd in a container would not be kept out): ${flaw}`,
    );
  }
  return warnings;
}

function pathsOf(config: Config, env: NodeJS.ProcessEnv): KilnPaths {
  const paths = kilnPaths(env, process.getuid?.() ?? 0);
  const run = settingOf(config, "run-root") ?? paths.run;
  return {
    config: paths.config,
    data: settingOf(config, "data-root") ?? paths.data,
    run,
    socket: settingOf(config, "socket") ?? (run === paths.run ? paths.socket : join(run, "kiln.sock")),
  };
}

function rootsOf({ data, run }: KilnPaths, { KILN_ROOT: root }: NodeJS.ProcessEnv): string[] {
  return [...(root === undefined || root === "" ? [] : [root]), data, run];
}

/**
 * As root every VMM gets a user of its own, who must be able to reach the VM's files. The directories that kiln made on
 * the way are open to passing through; one that was there before is somebody's, and is not touched.
 *
 * @throws KilnError failed_precondition `data-root-closed`
 */
async function ownershipOf(config: Config, paths: KilnPaths): Promise<Ownership> {
  if (process.getuid?.() !== 0 || settingOf(config, "vm.users") === "root") return OWN_USER;
  // A jail is handed its files open; only a VMM outside of kiln's jail looks for them by name.
  const byName = settingOf(config, "jailer") !== undefined || settingOf(config, "allow-unconfined") === "yes";
  const ways = byName ? [...(await closedParents(paths.data)), ...(await closedParents(paths.run))] : [];
  const closed = [...new Set(ways)].sort();
  if (closed.length === 0) {
    const registry = settingOf(config, "vm.user-registry") ?? USER_REGISTRY;
    return createUserPerVm(await UserRegistry.open(registry, paths.data, DEFAULT_USER_RANGE));
  }
  throw new KilnError(
    Code.FailedPrecondition,
    `VMMs, which run as users of their own, can't enter ${closed.join(", ")} on the way to their files`,
    {
      reason: "data-root-closed",
      hint: `allow passing through (chmod o+x ${closed.join(" ")}), use another KILN_ROOT, or run VMMs as root with --vm-users=root`,
    },
  );
}

function cacheOf(paths: KilnPaths): string {
  return join(paths.data, "cache");
}

function roomOptions(
  config: Config,
  paths: KilnPaths,
  env: NodeJS.ProcessEnv,
  log: Logger,
): Omit<RoomOptions, "pullLimits" | "layerLimits"> {
  return {
    dataRoot: paths.data,
    runRoot: paths.run,
    configRoot: paths.config,
    cacheDirectory: cacheOf(paths),
    env,
    log,
    agentPath: settingOf(config, "agent") ?? packageFile("kiln-agent"),
    kernelFragments: kernelFragments(),
    netguard: settingOf(config, "netguard") ?? packageFile("libkiln_netguard.so"),
    shareServer: settingOf(config, "share-server") ?? packageFile("kiln-share"),
    passt: settingOf(config, "passt") ?? packagePasst() ?? "passt",
    qemu: settingOf(config, "qemu"),
    cniConfigs: directories(config, "cni-configs", cniConfigs(env)),
    cniPlugins: directories(config, "cni-plugins", CNI_PLUGINS),
    cniAlone: (settingOf(config, "cni-alone") ?? "").split(",").filter((name) => name !== ""),
    tap: packageFile("kiln-tap"),
    lease: packageFile("kiln-lease"),
    sendfd: packageFile("kiln-sendfd"),
    firecracker: settingOf(config, "firecracker"),
    jailer: settingOf(config, "jailer"),
    firecrackerFiles: directories(config, "firecracker-files", ""),
    trustFirecracker: settingOf(config, "trust-firecracker") === "yes",
    bwrap: settingOf(config, "bwrap"),
    allowUnconfined: settingOf(config, "allow-unconfined") === "yes",
    vmCgroup: settingOf(config, "vm.cgroup"),
  };
}

function directories(config: Config, name: SettingName, byDefault: string): string[] {
  return (settingOf(config, name) ?? byDefault).split(":").filter((path) => path !== "");
}

/** An ordinary user's own come first. */
function cniConfigs({ HOME = "/", XDG_CONFIG_HOME = "" }: NodeJS.ProcessEnv): string {
  const config = XDG_CONFIG_HOME.startsWith("/") ? XDG_CONFIG_HOME : join(HOME, ".config");
  return process.getuid?.() === 0 ? CNI_CONFIGS : `${join(config, "cni/net.d")}:${CNI_CONFIGS}`;
}

function factsOf(config: Config, paths: KilnPaths, warnings: readonly string[]): DaemonFacts {
  const version = packageVersion();
  return {
    version,
    agentVersion: version, // one repository, one version: the agent is of this package
    dataRoot: paths.data,
    runRoot: paths.run,
    socket: paths.socket,
    rootless: process.getuid?.() !== 0,
    settings: SETTINGS.map(({ name, byDefault }) => {
      const { value = "", origin = "default" } = config.get(name) ?? {};
      return { name, value: origin === "default" ? byDefault : value, origin };
    }),
    warnings,
  };
}
