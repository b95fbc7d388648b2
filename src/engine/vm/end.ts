// How a VM's run ended, judged from what the agent reported, how the VMM went, and what the user had asked. Pure.

import { cleanLine, cleanLines } from "../../agent/index.js";
import type { VmmExit } from "../../vmm/types.js";
import { KILLED_EXIT_CODE } from "./exit-codes.js";
import type { ReportedExit } from "./status.js";

/** The reason of an end that came with the end of the VM's lifetime. */
export const LIFETIME_OVER = "lifetime-over";

/** The reasons of an end that was kilnd's: its guest was rebooting, or it was being started. */
export const GUEST_REBOOT = "guest-reboot";
export const START_INTERRUPTED = "start-interrupted";

/** What was wanted of a run: by its user or its lifetime; or the guest had halted or lost its agent, and its VMM was ended for it. */
export type Intent = "run" | "halted" | "lost" | "stop" | "expire" | "kill";

export interface EndFacts {
  readonly report: ReportedExit | undefined;
  readonly vmm: VmmExit;
  readonly intent: Intent;
  /** Why the agent was lost. */
  readonly lost?: string;
  /** The last lines of the guest's console. */
  readonly consoleTail: string;
  /** Whose PID 1 was: the agent, or an init of the image's own. */
  readonly mode: "app" | "system";
}

export type Verdict =
  | { readonly kind: "exited"; readonly exitCode: number; readonly reason: string; readonly message: string }
  | { readonly kind: "failed"; readonly reason: string; readonly message: string }
  /** The guest asked for it: the VM starts again and its policy is not asked. */
  | { readonly kind: "reboot" };

export function judgeEnd(facts: EndFacts): Verdict {
  const { report, intent } = facts;
  if (intent === "expire")
    return exited(report?.code ?? KILLED_EXIT_CODE, LIFETIME_OVER, "its lifetime is over");
  if (report !== undefined) return judgeReport(report, intent);
  if (intent === "halted") return exited(0, "guest-poweroff", "the guest halted");
  if (intent === "lost") {
    const why = `the guest's agent broke the protocol again and again: ${cleanLine(facts.lost ?? "")}`;
    return failed("agent-lost", why, facts.consoleTail);
  }
  if (intent === "kill") return exited(KILLED_EXIT_CODE, "killed", "the VM was killed");
  const ofInit = judgeInit(facts);
  if (intent === "stop") return ofInit ?? exited(KILLED_EXIT_CODE, "killed", "the VM was killed");
  return ofInit ?? judgeSilence(facts);
}

function judgeReport(report: ReportedExit, intent: Intent): Verdict {
  if (report.request === "reboot" && intent === "run") return { kind: "reboot" };
  if (report.request === "poweroff" && intent === "run") {
    return exited(0, "guest-poweroff", "the guest powered itself off");
  }
  if (report.error !== "") return exited(report.code, "program-not-started", report.error);
  return exited(report.code, report.oomKilled ? "out-of-memory" : "program-exited", "");
}

/** The VMM is gone and the agent said nothing: only the machine's own word is left. */
function judgeSilence({ vmm, consoleTail }: EndFacts): Verdict {
  // Without a panic device a panic looks like a reboot (the kernel is told panic=-1).
  const words = /Kernel panic - not syncing:? ?(.*)/.exec(consoleTail)?.[1];
  if (vmm.cause === "guest-panic" || words !== undefined) {
    const why = words === undefined || words === "" ? "" : `: ${cleanLine(words)}`;
    return failed("guest-panic", `the guest's kernel panicked${why}`, consoleTail);
  }
  switch (vmm.cause) {
    case "guest-reset":
      return { kind: "reboot" };
    case "guest-shutdown":
      return exited(0, "guest-poweroff", "the guest powered itself off");
    case "unknown":
      return failed("vmm-died", "the VMM ended while kilnd was not running", consoleTail);
    default:
      return failed("vmm-died", `the VMM ended without a word from the guest: ${vmm.detail}`, consoleTail);
  }
}

/** An init made for containers ends its container by ending; to a kernel that is a panic, with wait(2)'s status. */
const INIT_ENDED = /Kernel panic - not syncing: Attempted to kill init! exitcode=0x([0-9a-f]{8})\b/;

function judgeInit({ mode, consoleTail }: EndFacts): Verdict | undefined {
  const ended = mode === "system" ? INIT_ENDED.exec(consoleTail)?.[1] : undefined;
  if (ended === undefined) return undefined;
  const status = Number.parseInt(ended, 16);
  const signal = status & 0x7f;
  const code = signal === 0 ? (status >> 8) & 0xff : 128 + signal;
  return exited(code, "init-exited", "the image's init ended");
}

function exited(exitCode: number, reason: string, message: string): Verdict {
  return { kind: "exited", exitCode, reason, message };
}

function failed(reason: string, message: string, consoleTail: string): Verdict {
  return { kind: "failed", reason, message: withConsole(message, consoleTail) };
}

const LAST_LINES = 10;

/** The message with the console's last lines below it, control characters made harmless. */
export function withConsole(message: string, consoleTail: string): string {
  const lines = cleanLines(consoleTail);
  if (lines.length === 0) return `${message} (its console is empty)`;
  return `${message}; last lines of its console:\n${lines.slice(-LAST_LINES).join("\n")}`;
}
