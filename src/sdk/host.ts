// Where kilnd listens, and a connected socket to it.

import { connect, type Socket } from "node:net";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { kilnPaths, MAX_SOCKET_PATH } from "../base/paths.js";
import { requireTrusted } from "../base/trusted-path.js";

/** A kilnd to talk to. */
export interface HostAddress {
  /** Path of kilnd's unix socket. */
  readonly socket: string;
  /** True where nobody named the socket: only then may a client start kilnd itself. */
  readonly isDefault: boolean;
}

/**
 * The socket of `host`, of KILN_HOST, or of this user's (or KILN_ROOT's) kilnd, in that order.
 *
 * @param host "unix:///run/kiln/kiln.sock"
 * @throws KilnError invalid_argument `bad-host`
 */
export function resolveHost(
  host: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
  uid: number = process.getuid?.() ?? 0,
): HostAddress {
  const named = host ?? (env.KILN_HOST === "" ? undefined : env.KILN_HOST);
  const socket = named === undefined ? kilnPaths(env, uid).socket : pathOfUrl(named);
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH) {
    throw badHost(
      `the socket path ${socket} is longer than ${MAX_SOCKET_PATH} bytes`,
      named === undefined ? `choose a shorter ${env.KILN_ROOT ? "KILN_ROOT" : "XDG_RUNTIME_DIR"}` : undefined,
    );
  }
  return { socket, isDefault: named === undefined };
}

function pathOfUrl(url: string): string {
  const match = /^unix:\/\/(\/.+)$/.exec(url);
  if (match?.[1] === undefined) throw badHost(`"${url}" names no unix socket`);
  return match[1];
}

function badHost(
  message: string,
  hint = "write unix:// and an absolute path, for example unix:///run/kiln/kiln.sock",
): KilnError {
  return new KilnError(Code.InvalidArgument, message, {
    reason: "bad-host",
    hint,
  });
}

/**
 * Connects; a Node system error where nobody listens. Whoever listens is root or this very user: secrets go there.
 *
 * @throws KilnError permission_denied `unsafe-path`
 */
export async function dial(socketPath: string): Promise<Socket> {
  await requireTrusted(socketPath);
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

/** True where the error of `dial` says that no kilnd is there: no socket, or one that its owner left behind. */
export function isNobodyListening(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOENT" || errno === "ECONNREFUSED";
}

/** The error of a failed `dial`, for people. */
export function unreachable(socketPath: string, cause: unknown): KilnError {
  if (cause instanceof KilnError) return KilnError.from(cause, "connect to kilnd");
  if ((cause as NodeJS.ErrnoException).syscall === "lstat") return wayless(socketPath, cause);
  const denied = errnoOf(cause) === "EACCES";
  return new KilnError(
    denied ? Code.PermissionDenied : Code.Unavailable,
    `connect to kilnd at ${socketPath}: ${denied ? "permission denied" : reasonOf(cause)}`,
    {
      reason: denied ? "socket-permission-denied" : "daemon-not-running",
      hint: denied
        ? "join the group that owns the socket, or unset KILN_HOST to use a kilnd of your own"
        : "start it with `kilnd`, or unset KILN_HOST so that kiln starts one",
      cause,
    },
  );
}

/** The way to the socket can't be followed: nothing is known of a kilnd there. */
function wayless(socketPath: string, cause: unknown): KilnError {
  const { code, reason, message } = KilnError.from(cause, `look for kilnd at ${socketPath}`);
  const where = process.env.KILN_ROOT ? "KILN_ROOT" : "KILN_HOST or --host";
  const why =
    errnoOf(cause) === "EACCES"
      ? "a directory on that way is not open to this user"
      : "that way leads nowhere";
  return new KilnError(code, message, { reason, hint: `${why}: name another place with ${where}`, cause });
}

function reasonOf(cause: unknown): string {
  if (errnoOf(cause) === "ENOENT") return "there is no such socket";
  if (errnoOf(cause) === "ECONNREFUSED") return "nobody listens there";
  return cause instanceof Error ? cause.message : String(cause);
}
