// Where kiln keeps things. KILN_ROOT moves data, run directory and socket together, so that daemons live side by side.

import { createHash } from "node:crypto";
import { lstatSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";

export interface KilnPaths {
  /** Images, bases, VMs, kernels. */
  readonly data: string;
  /** Sockets, pids: gone after a reboot. */
  readonly run: string;
  readonly config: string;
  /** kilnd's socket. */
  readonly socket: string;
}

/**
 * @param env the process environment
 * @param uid the caller's user id; 0 uses the system's places (ecosystem: FHS), others XDG's
 * @param runtime a user's runtime directory where XDG_RUNTIME_DIR does not name it
 */
export function kilnPaths(
  env: NodeJS.ProcessEnv,
  uid: number,
  runtime: (uid: number) => string | undefined = runtimeDirectory,
): KilnPaths {
  if (env.KILN_ROOT !== undefined && env.KILN_ROOT !== "") {
    const root = resolve(env.KILN_ROOT);
    const run = join(root, "run");
    return { data: join(root, "data"), run, config: join(root, "config"), socket: socketFromEnv(env, run) };
  }
  if (uid === 0) {
    return {
      data: "/var/lib/kiln",
      run: "/run/kiln",
      config: "/etc/kiln",
      socket: socketFromEnv(env, "/run/kiln"),
    };
  }
  const home = env.HOME ?? "/";
  const short = absolute(env.XDG_RUNTIME_DIR) ?? runtime(uid);
  // Never a name below /tmp, which anybody may take first.
  const run =
    short === undefined
      ? join(absolute(env.XDG_STATE_HOME) ?? join(home, ".local/state"), "kiln/run")
      : join(short, "kiln");
  return {
    data: join(absolute(env.XDG_DATA_HOME) ?? join(home, ".local/share"), "kiln"),
    run,
    config: join(absolute(env.XDG_CONFIG_HOME) ?? join(home, ".config"), "kiln"),
    socket: socketFromEnv(env, run),
  };
}

/** The XDG base directory specification: what is not absolute is to be ignored. */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}

/** The runtime directory that a login gives a user, where it is that user's alone. */
function runtimeDirectory(uid: number): string | undefined {
  const path = `/run/user/${uid}`;
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0 ? path : undefined;
}

function socketFromEnv(env: NodeJS.ProcessEnv, run: string): string {
  const host = env.KILN_HOST;
  if (host?.startsWith("unix://")) return host.slice("unix://".length);
  return join(run, "kiln.sock");
}

/**
 * A short directory for one VM's sockets: sun_path holds 108 bytes (unix(7)), so the id is hashed to 16 characters.
 */
export function vmRunDirectory(run: string, vmId: string): string {
  return join(run, "v", createHash("sha256").update(vmId).digest("hex").slice(0, 16));
}

/** Longest path that bind(2) and connect(2) take for a unix socket, without its final NUL. */
export const MAX_SOCKET_PATH = 107;
