// Can VMMs be jailed on this host? Found out by doing it: a kernel setting, an AppArmor profile, a container around
// kilnd each forbid it in their own way, and only a try tells.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Code, KilnError } from "../../base/errors.js";
import { planEnvironment } from "../../base/privileges.js";
import { findProgram } from "../../base/programs.js";
import { EMPTY_NETWORK, type JailWay, NAMESPACES } from "./plan.js";

const run = promisify(execFile);
const TIMEOUT_MS = 10_000;

export interface JailVerdict {
  readonly holds: boolean;
  readonly way: JailWay;
  /** Path of bubblewrap, where there is one. */
  readonly bwrap?: string | undefined;
  readonly version?: string | undefined;
  /** For people. */
  readonly why: string;
  readonly hint?: string | undefined;
}

export interface JailHost {
  /** Path or name; default bwrap. */
  readonly bwrap?: string | undefined;
  /** kilnd's own user. */
  readonly uid: number;
}

export async function judgeJail(host: JailHost): Promise<JailVerdict> {
  const way = host.uid === 0 ? "root" : "user";
  const name = host.bwrap ?? "bwrap";
  const bwrap = await findProgram(name);
  if (bwrap === undefined) {
    return {
      ...{ holds: false, way, why: `${name} is not installed` },
      hint: "install the Debian package bubblewrap",
    };
  }
  try {
    const version = /([0-9][0-9.]*)/.exec(await output(bwrap, ["--version"]))?.[1];
    const found = { way, bwrap, version } as const;
    if (!(await output(bwrap, ["--help"])).includes("--ro-bind-fd")) {
      const why = `bubblewrap ${version} takes no files by descriptor`;
      return { ...found, holds: false, why, hint: "install bubblewrap 0.10 or Debian 12's 0.8.0-2+deb12u1" };
    }
    const words = [...NAMESPACES[way], EMPTY_NETWORK, "--as-pid-1", "--ro-bind", "/", "/", "--", "true"];
    await output(bwrap, words);
    const how = way === "root" ? "without a user namespace" : "in a user namespace";
    return { ...found, holds: true, why: `bubblewrap ${version}, ${how}` };
  } catch (error) {
    const why = lastWords(error);
    return {
      holds: false,
      way,
      bwrap,
      why: `bubblewrap can make no jail here: ${why}`,
      hint: hintFor(why, way),
    };
  }
}

/** @throws KilnError failed_precondition `no-jail` */
export function requireJail(verdict: JailVerdict): void {
  if (verdict.holds) return;
  throw new KilnError(Code.FailedPrecondition, `confine the VMM: ${verdict.why}`, {
    reason: "no-jail",
    hint: `${verdict.hint ?? "`kiln doctor` shows more"}; or start kilnd with KILN_ALLOW_UNCONFINED=yes to run VMMs without a jail`,
  });
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const options = { timeout: TIMEOUT_MS, maxBuffer: 256 * 1024, env: planEnvironment() };
  const { stdout, stderr } = await run(program, args, options);
  return stdout + stderr;
}

function lastWords(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string };
  const words = (stderr ?? "").trim().split("\n").at(-1) ?? "";
  return (words === "" ? (message ?? String(error)) : words).replace(/^bwrap: /, "");
}

/** What is known to forbid it, by bubblewrap's words. */
function hintFor(words: string, way: JailWay): string {
  if (way === "root") return "kilnd needs CAP_SYS_ADMIN: in a container, run it with --privileged";
  if (/RTM_NEWADDR|uid map|Operation not permitted|Permission denied/.test(words)) {
    return "user namespaces are restricted: allow them for bwrap by an AppArmor profile, or set kernel.apparmor_restrict_unprivileged_userns=0 and kernel.unprivileged_userns_clone=1";
  }
  if (/namespace/.test(words)) {
    return "user namespaces are off: raise user.max_user_namespaces, and set kernel.unprivileged_userns_clone=1 where there is such a setting";
  }
  return "try `bwrap --unshare-all --ro-bind / / true`";
}
