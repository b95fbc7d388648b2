// Starts kilnd for a user who has none running, and waits until it accepts. Only ever for the default socket.

import { spawn } from "node:child_process";
import { close, constants, open } from "node:fs";
import { readFile, rename, stat } from "node:fs/promises";
import type { Socket } from "node:net";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { Code, KilnError } from "../base/errors.js";
import { delay } from "../base/runtime.js";
import { makeTrustedDirectory, refuseSharedRoot } from "../base/trusted-path.js";
import { daemonProgram } from "./daemon-program.js";
import { dial, isNobodyListening, unreachable } from "./host.js";

const START_DEADLINE_MS = 30_000;
const FIRST_RETRY_MS = 5;
const LONGEST_RETRY_MS = 100;
/** After an early exit: another client may have started kilnd at the same moment, and ours gave way to it. */
const RIVAL_GRACE_MS = 2_000;
const MAX_LOG_BYTES = 4 * 1024 * 1024;
const TAIL_BYTES = 2_000;
/** Never through a link, whoever put it there. */
const LOG_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

interface StartedDaemon {
  readonly log: string;
  /** Where in the log this daemon's lines begin. */
  readonly logOffset: number;
  /** Undefined while it runs. */
  ended(): string | undefined;
}

/**
 * Spawns kilnd, detached, and connects to it.
 *
 * @throws KilnError unavailable `daemon-start-failed`, with the last lines that kilnd wrote
 */
export async function startDaemon(socketPath: string): Promise<Socket> {
  const daemon = await spawnDaemon(dirname(socketPath));
  const deadline = Date.now() + START_DEADLINE_MS;
  let giveUpAt = deadline;
  let pause = FIRST_RETRY_MS;
  for (;;) {
    try {
      return await dial(socketPath);
    } catch (error) {
      if (!isNobodyListening(error)) throw unreachable(socketPath, error);
    }
    if (daemon.ended() !== undefined) giveUpAt = Math.min(giveUpAt, Date.now() + RIVAL_GRACE_MS);
    if (Date.now() >= giveUpAt) throw await startFailed(socketPath, daemon);
    await delay(pause);
    pause = Math.min(pause * 2, LONGEST_RETRY_MS);
  }
}

async function spawnDaemon(runDirectory: string): Promise<StartedDaemon> {
  if (process.env.KILN_ROOT) await refuseSharedRoot(process.env.KILN_ROOT);
  await makeTrustedDirectory(runDirectory);
  const log = join(runDirectory, "kilnd.log");
  const logOffset = await rotate(log);
  // A file, not a pipe: kilnd outlives us, and a pipe without a reader would end it at its first line.
  const fd = await promisify(open)(log, LOG_FLAGS, 0o600).catch((error: unknown) => {
    throw KilnError.from(error, "open kilnd's log");
  });
  try {
    const child = spawn(process.execPath, [daemonProgram()], {
      detached: true,
      stdio: ["ignore", fd, fd],
      cwd: "/",
      env: daemonEnvironment(),
    });
    let ended: string | undefined;
    child.once("error", (error) => {
      ended = error.message;
    });
    child.once("exit", (code, signal) => {
      ended = signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
    });
    child.unref();
    return { log, logOffset, ended: () => ended };
  } finally {
    await promisify(close)(fd);
  }
}

/** Our own, with KILN_ROOT absolute: kilnd does not run in our working directory. */
function daemonEnvironment(): NodeJS.ProcessEnv {
  const root = process.env.KILN_ROOT;
  return root === undefined || root === "" ? process.env : { ...process.env, KILN_ROOT: resolve(root) };
}

/** Keeps the log small; gives its size now. */
async function rotate(log: string): Promise<number> {
  const size = (await stat(log).catch(() => undefined))?.size ?? 0;
  if (size <= MAX_LOG_BYTES) return size;
  await rename(log, `${log}.1`);
  return 0;
}

async function startFailed(socketPath: string, daemon: StartedDaemon): Promise<KilnError> {
  const why = daemon.ended() ?? `it did not listen within ${START_DEADLINE_MS / 1000} s`;
  const tail = await readTail(daemon);
  return new KilnError(Code.Unavailable, `start kilnd for ${socketPath}: ${why}${tail}`, {
    reason: "daemon-start-failed",
    hint: `its log is ${daemon.log}; \`kiln doctor\` checks this host`,
    details: { log: daemon.log },
  });
}

async function readTail(daemon: StartedDaemon): Promise<string> {
  const bytes = await readFile(daemon.log).catch(() => Buffer.alloc(0));
  const tail = bytes.subarray(Math.max(daemon.logOffset, bytes.length - TAIL_BYTES));
  const text = tail.toString("utf8").trim();
  return text === "" ? "" : `\n${text.replace(/^/gm, "  ")}`;
}
