// Where kilnd listens: the socket that systemd hands over, or one of its own.

import { spawnSync } from "node:child_process";
import { chmod, chown, rename, rm, stat } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { dirname } from "node:path";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { MAX_SOCKET_PATH } from "../base/paths.js";
import { makeTrustedDirectory } from "../base/trusted-path.js";
import { SocketKeeper } from "./socket-keeper.js";

/** First descriptor that systemd passes (sd_listen_fds(3)). */
const FIRST_FD = 3;
const SOCKET_MODE = 0o660;

/**
 * The descriptor of the socket that systemd passed to this very process; undefined where it passed none. Pure.
 *
 * @throws KilnError invalid_argument `bad-activation` where it passed more than one
 */
export function inheritedSocket(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  if (env.LISTEN_PID !== String(pid)) return undefined;
  const count = Number(env.LISTEN_FDS);
  if (count === 1) return FIRST_FD;
  throw new KilnError(Code.InvalidArgument, `systemd passed ${env.LISTEN_FDS} sockets, kilnd takes one`, {
    reason: "bad-activation",
  });
}

export interface ListenOptions {
  readonly path: string;
  /** May use the socket, where kilnd is root and the group exists. */
  readonly group: string;
  /** Chooses the path: for hints. */
  readonly flag: string;
  readonly log: Logger;
}

export interface Listening {
  readonly path: string;
  /** Removes the socket's file, unless it is systemd's or somebody else's by now. */
  unlink(): Promise<void>;
}

/** @throws KilnError already_exists `socket-in-use`, invalid_argument `socket-path-too-long` */
export async function listenAt(server: Server, options: ListenOptions): Promise<Listening> {
  const fd = inheritedSocket(process.env, process.pid);
  if (fd !== undefined) {
    await listening(server, { fd });
    const address = server.address();
    return { path: typeof address === "string" ? address : "systemd's", unlink: async () => undefined };
  }
  return await listenAtPath(server, options);
}

/** At a socket of its own, whatever systemd has passed. @throws as listenAt */
export async function listenAtPath(server: Server, options: ListenOptions): Promise<Listening> {
  const { path } = options;
  if (Buffer.byteLength(makingName(path)) > MAX_SOCKET_PATH) throw tooLong(options);
  await makeTrustedDirectory(dirname(path));
  await removeStale(options);
  await bind(server, options);
  const keeper = new SocketKeeper(path, () => bindAnew(server, options), options.log);
  await keeper.begin();
  return { path, unlink: () => keeper.end() };
}

const makingName = (path: string): string => `${path}.new`;

/** One more way to a server, at its old name. A listener of Node's has one name for ever. */
async function bindAnew(server: Server, options: ListenOptions): Promise<Server> {
  const more = createServer((connection) => server.emit("connection", connection));
  await makeTrustedDirectory(dirname(options.path));
  await bind(more, options);
  more.unref();
  return more;
}

/** Makes the socket's file. */
async function bind(server: Server, options: ListenOptions): Promise<void> {
  const { path } = options;
  const making = makingName(path);
  await rm(making, { force: true });
  // Under another name until it has its mode and group: never open to more than it is meant for, and never closed to a
  // first client. (The umask would do it too, but it belongs to all threads at once.)
  await listening(server, { path: making });
  await chmod(making, SOCKET_MODE);
  await giveToGroup(making, options);
  await rename(making, path);
}

function tooLong({ path, flag }: ListenOptions): KilnError {
  return new KilnError(
    Code.InvalidArgument,
    `the socket path ${path} is longer than the ${MAX_SOCKET_PATH - 4} bytes that a socket may have`,
    { reason: "socket-path-too-long", hint: `choose a shorter KILN_ROOT or ${flag}` },
  );
}

function listening(server: Server, where: { fd: number } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(KilnError.from(error, `listen at ${JSON.stringify(where)}`));
    server.once("error", failed);
    server.listen(where, () => {
      server.off("error", failed);
      resolve();
    });
  });
}

/**
 * A socket file that nobody answers at is left over from a kilnd that was killed.
 *
 * @throws KilnError already_exists `socket-in-use`
 */
async function removeStale({ path, flag }: ListenOptions): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw KilnError.from(error, `look at ${path}`);
  });
  if (found === undefined) return;
  if (!found.isSocket() || (await answers(path))) {
    throw new KilnError(Code.AlreadyExists, `${path} is in use`, {
      reason: "socket-in-use",
      hint: `another program listens there; choose another ${flag}`,
    });
  }
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    // Only this one says that nobody listens: a full queue (EAGAIN) or a missing right is no such word.
    probe.once("error", (error) => resolve(errnoOf(error) !== "ECONNREFUSED" && errnoOf(error) !== "ENOENT"));
  });
}

async function giveToGroup(path: string, { group, log }: ListenOptions): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const gid = groupId(group);
  if (gid === undefined) log.debug("the socket's group does not exist, so only root may use it", { group });
  else await chown(path, 0, gid);
}

/** getent(1) and not /etc/group: groups may live in a directory service. */
function groupId(group: string): number | undefined {
  const found = spawnSync("getent", ["group", group], { encoding: "utf8", timeout: 5_000 });
  const gid = found.status === 0 ? Number(found.stdout.split(":")[2]) : Number.NaN;
  return Number.isInteger(gid) ? gid : undefined;
}
