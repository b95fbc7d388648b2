// One passt process beside a VM: connected to the card, guarded, in a session of its own so that it outlives kilnd. It
// ends by itself when the VMM closes the connection.

import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { Code, KilnError } from "../../base/errors.js";
import { keepText } from "../../base/kept-text.js";
import { assertAnnounced } from "../../base/netguard.js";
import { connectUnix } from "../../base/pinned.js";
import { identifyProcess, type ProcessId } from "../../base/processes.js";
import { deferred } from "../../base/runtime.js";
import { openCount } from "./denied.js";
import { ANNOUNCE_FD, type PasstPlan } from "./plan.js";

/** Its own work takes 30 ms; a busy host makes it wait its turn. */
const BEGIN_TIMEOUT_MS = 10_000;

export interface RunningPasst {
  readonly id: ProcessId;
  /** What it said last: why it ended, where it has. */
  lastWords(): string;
  /** Lets go of its pipes; it goes on. */
  release(): void;
}

/**
 * Starts passt and connects it. Returns once it has begun, with the guard loaded.
 *
 * @param socket where the VMM listens for its card's other end
 * @throws KilnError unavailable `user-network-failed`, failed_precondition `no-netguard`
 */
export async function startPasst(plan: PasstPlan, socket: string): Promise<RunningPasst> {
  const card = await connectUnix(socket);
  // Not a byte of it is ours.
  card.pause();
  try {
    return await begin(plan, descriptorOf(card));
  } finally {
    card.destroy();
  }
}

async function begin(plan: PasstPlan, card: number): Promise<RunningPasst> {
  const [program = "", ...args] = plan.argv;
  await using count = await openCount(plan.countFile);
  const child = spawn(program, args, {
    cwd: "/",
    detached: true,
    env: { ...plan.env },
    stdio: ["ignore", "ignore", "pipe", card, "pipe", count.fd],
  });
  const words = keepText(child.stderr);
  try {
    const announced = await untilBegun(child);
    assertAnnounced(announced, program, plan.guard.library, plan.egress);
    const id = await identifyProcess(child.pid ?? 0);
    if (id === undefined) throw new Error("it ended at once");
    child.unref();
    return { id, lastWords: () => words().trim(), release: () => child.stderr?.destroy() };
  } catch (error) {
    child.kill("SIGKILL");
    child.stderr?.destroy();
    if (error instanceof KilnError) throw error;
    throw passtFailed(`${(error as Error).message} ${words().trim()}`.trim(), error);
  }
}

/** What was announced by the time that passt closed the descriptor, which it does before it looks at a packet. */
async function untilBegun(child: ChildProcess): Promise<string> {
  const pipe = child.stdio[ANNOUNCE_FD] as Readable;
  const text = keepText(pipe);
  const begun = deferred<void>();
  child.once("error", begun.reject);
  pipe.once("close", () => begun.resolve());
  const timer = setTimeout(() => begun.reject(new Error("it did not begin in time")), BEGIN_TIMEOUT_MS);
  try {
    await begun.promise;
    return text();
  } finally {
    clearTimeout(timer);
    pipe.destroy();
  }
}

interface SocketHandle {
  readonly fd: number;
  setBlocking(blocking: boolean): number;
}

/**
 * Made blocking: passt writes the rest of a frame that did not fit in one go and takes "try again" for the end, after
 * which the VMM reads every frame's length at the wrong place. Node has no other way to either.
 */
function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { _handle: SocketHandle })._handle;
  if (handle.fd >= 0 && handle.setBlocking(true) === 0) return handle.fd;
  throw passtFailed("the connection to the VM's card can't be handed over");
}

function passtFailed(why: string, cause?: unknown): KilnError {
  return new KilnError(Code.Unavailable, `connect the VM's card to the network by passt: ${why}`, {
    reason: "user-network-failed",
    hint: "`kiln doctor` looks at passt; --network none needs none: published ports work without a card",
    cause,
  });
}
