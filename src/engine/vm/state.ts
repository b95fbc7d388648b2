// The state machine of a VM: which state may follow which, and what each change writes down. Pure: no files, no
// processes, no clocks of its own. Everything that changes a VM's state goes through `transition`.

import { Code, KilnError } from "../../base/errors.js";
import { GUEST_REBOOT, type Verdict } from "./end.js";
import { FAILED_EXIT_CODE } from "./exit-codes.js";
import type { VmStatus } from "./status.js";

export const VM_STATES = [
  "created",
  "starting",
  "running",
  "paused",
  "stopping",
  "exited",
  "failed",
] as const;
/** Where a VM is in its life; which may follow which is said below. */
export type VmState = (typeof VM_STATES)[number];

/** State -> states that may follow. `running -> starting` and `starting -> starting` are reboots asked for in the guest. */
const FOLLOWERS: Readonly<Record<VmState, readonly VmState[]>> = {
  created: ["starting"],
  starting: ["starting", "running", "stopping", "exited", "failed"],
  running: ["starting", "paused", "stopping", "exited", "failed"],
  paused: ["running", "stopping", "exited", "failed"],
  stopping: ["exited", "failed"],
  exited: ["starting"],
  failed: ["starting"],
};

/** A change of state with the facts that come with it. Times are ISO 8601. */
export type Change =
  | {
      readonly to: "starting";
      readonly at: string;
      readonly boot: number;
      readonly runDirectory: string;
      /** By its guest's reboot or its policy. */
      readonly unasked?: boolean;
    }
  | { readonly to: "running"; readonly at: string }
  | { readonly to: "paused"; readonly reason: string }
  | { readonly to: "stopping" }
  | {
      readonly to: "exited";
      readonly at: string;
      readonly exitCode: number;
      readonly reason: string;
      readonly message?: string;
      readonly oomKilled?: boolean;
    }
  | { readonly to: "failed"; readonly at: string; readonly reason: string; readonly message: string };

/** True where `to` may follow `from`. */
export function mayFollow(from: VmState, to: VmState): boolean {
  return FOLLOWERS[from].includes(to);
}

/** True while a VMM process exists or is being made. */
export function isLive(state: VmState): boolean {
  return state === "starting" || state === "running" || state === "paused" || state === "stopping";
}

/** True once the VM has ended and nothing of it runs. */
export function isEnded(state: VmState): boolean {
  return state === "exited" || state === "failed";
}

/**
 * The status after the change.
 *
 * @throws KilnError internal `illegal-transition`: verbs check legality first, so this is a bug of ours
 */
export function transition(status: VmStatus, change: Change): VmStatus {
  if (!mayFollow(status.state, change.to)) {
    throw new KilnError(Code.Internal, `a VM cannot go from ${status.state} to ${change.to}`, {
      reason: "illegal-transition",
    });
  }
  switch (change.to) {
    case "starting":
      return started(status, change);
    case "running":
      return {
        ...status,
        state: "running",
        reason: "",
        message: "",
        startedAt: status.startedAt ?? change.at,
      };
    case "paused":
      return { ...status, state: "paused", reason: change.reason };
    case "stopping":
      return { ...status, state: "stopping" };
    case "exited":
      return ended(status, {
        state: "exited",
        finishedAt: change.at,
        exitCode: change.exitCode,
        reason: change.reason,
        message: change.message ?? "",
        oomKilled: change.oomKilled ?? false,
      });
    case "failed":
      return ended(status, {
        state: "failed",
        finishedAt: change.at,
        exitCode: FAILED_EXIT_CODE,
        reason: change.reason,
        message: change.message,
        oomKilled: false,
      });
  }
}

function started(status: VmStatus, change: Extract<Change, { to: "starting" }>): VmStatus {
  return {
    ...without(status, "finishedAt", "startedAt", "exit", "restartAt", "vmm", "timings", "stop"),
    state: "starting",
    boot: change.boot,
    launch: {
      runDirectory: change.runDirectory,
      at: change.at,
      ...(change.unasked === true ? { unasked: true } : {}),
    },
    exitCode: 0,
    reason: "",
    message: "",
    oomKilled: false,
  };
}

type Ending = Pick<VmStatus, "state" | "finishedAt" | "exitCode" | "reason" | "message" | "oomKilled">;

function ended(status: VmStatus, ending: Ending): VmStatus {
  return { ...without(status, "launch", "vmm", "exit", "stop"), ...ending, ports: [] };
}

type OptionalKey = "finishedAt" | "startedAt" | "exit" | "restartAt" | "vmm" | "timings" | "launch" | "stop";

function without(status: VmStatus, ...keys: readonly OptionalKey[]): VmStatus {
  const copy = { ...status };
  for (const key of keys) delete copy[key];
  return copy;
}

/** The change that a verdict on the end of a run asks for. */
export function changeOf(
  verdict: Verdict,
  at: string,
  oomKilled: boolean,
): Extract<Change, { to: "exited" | "failed" }> {
  const { kind } = verdict;
  if (kind === "failed") return { to: "failed", at, reason: verdict.reason, message: verdict.message };
  // A reboot that nobody is there to do: kilnd is going, or was gone.
  if (kind === "reboot") return { to: "exited", at, exitCode: 0, reason: GUEST_REBOOT };
  const { exitCode, reason, message } = verdict;
  return { to: "exited", at, oomKilled, exitCode, reason, message };
}

/**
 * Refuses a verb in a state it is not legal in.
 *
 * @param verb for the message: "pause", "exec in"
 * @throws KilnError failed_precondition `vm-<state>`: "vm-paused", "vm-created", ...
 */
export function requireState(verb: string, name: string, state: VmState, allowed: readonly VmState[]): void {
  if (allowed.includes(state)) return;
  throw new KilnError(Code.FailedPrecondition, `cannot ${verb} VM ${name}: it is ${state}`, {
    reason: `vm-${state}`,
    hint: verb === "remove" && isLive(state) ? REMOVE_HINT : HINTS[state],
    details: { state },
  });
}

const REMOVE_HINT = "stop it with `kiln stop` first, or remove it as it runs: `kiln rm -f`";

const HINTS: Readonly<Record<VmState, string | undefined>> = {
  created: "start it with `kiln start`",
  starting: "wait until it runs: `kiln wait --condition running`",
  running: "stop it with `kiln stop` first",
  paused: "resume it with `kiln unpause`",
  stopping: "wait until it has ended: `kiln wait`",
  exited: "start it with `kiln start`",
  failed: "see why with `kiln inspect` and `kiln logs --console`, then `kiln start`",
};
