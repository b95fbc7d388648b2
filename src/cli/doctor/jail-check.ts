// Whether VMMs can be jailed here, by making a jail: what forbids it (a kernel setting, AppArmor, a container) shows in
// no other way. kilnd tries the same when it starts its first VM.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Finding, failure, findProgram, ok, warning } from "./check.js";

const run = promisify(execFile);
const TIMEOUT_MS = 10_000;
const SPACES = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup", "--unshare-net"];

/** bubblewrap, and the right to unshare. */
export async function checkJail(env: NodeJS.ProcessEnv, uid: number): Promise<Finding> {
  const path = await findProgram("bwrap", env);
  if (path === undefined) {
    const hint = "apt-get install --no-install-recommends bubblewrap: VMMs run in jails that it makes";
    return failure("jail", "bubblewrap is not installed", hint);
  }
  try {
    const user = uid === 0 ? [] : ["--unshare-user"];
    const options = { timeout: TIMEOUT_MS };
    await run(path, [...user, ...SPACES, "--ro-bind", "/", "/", "--", "true"], options);
    const { stdout } = await run(path, ["--help"], options);
    if (stdout.includes("--ro-bind-fd")) return ok("jail", `${path} makes one`);
    return failure(
      "jail",
      `${path} takes no files by descriptor`,
      "bubblewrap 0.10, or Debian 12's, is needed",
    );
  } catch (error) {
    const words = ((error as { stderr?: string }).stderr ?? String(error)).trim().split("\n").at(-1) ?? "";
    return failure("jail", `${path} can make none: ${words}`, hintFor(uid));
  }
}

/** What tells which files a VMM needs: without it every jail shows all of the host's programs. */
export async function checkJailFiles(env: NodeJS.ProcessEnv): Promise<Finding> {
  const path = await findProgram("ldd", env);
  if (path !== undefined) return ok("jail files", `${path} tells what a VMM needs`);
  return warning(
    "jail files",
    "ldd is not installed: jails show all of the host's programs, not just the VMM's",
    "apt-get install libc-bin",
  );
}

function hintFor(uid: number): string {
  if (uid === 0) return "kilnd needs CAP_SYS_ADMIN: in a container, run it with --privileged";
  return "let ordinary users make user namespaces (user.max_user_namespaces, kernel.unprivileged_userns_clone, AppArmor's kernel.apparmor_restrict_unprivileged_userns), or start kilnd with KILN_ALLOW_UNCONFINED=yes";
}
