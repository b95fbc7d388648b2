// Whether this host can give a VM's tap a network: programs, the right to open taps, and namespaces.

import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { promisify } from "node:util";
import { findProgram } from "../../base/programs.js";
import { SLIRP } from "./slirp.js";

const run = promisify(execFile);

/** Programs that must be there. `ip` is iproute2's. */
const PROGRAMS = [SLIRP, "unshare", "ip", "sh"] as const;
const TUN = "/dev/net/tun";

export interface SlirpVerdict {
  /** Path of a slirp4netns that may be used. */
  readonly program: string | undefined;
  /** For `kiln info` and the log. */
  readonly why: string;
}

/** Everything or nothing; not root also has to make namespaces. */
export async function probeSlirp(): Promise<SlirpVerdict> {
  const found = await Promise.all(PROGRAMS.map((program) => findProgram(program)));
  const missing = PROGRAMS.filter((_, index) => found[index] === undefined);
  if (missing.length > 0) return refused(`not installed: ${missing.join(", ")}`);
  try {
    await access(TUN, constants.R_OK | constants.W_OK);
  } catch {
    return refused(`${TUN} can't be opened`);
  }
  try {
    if (process.getuid?.() !== 0) await run("unshare", ["--user", "--map-root-user", "--net", "true"]);
  } catch {
    return refused("this user can make no namespaces");
  }
  const [program] = found;
  return { program, why: `user network by ${program}` };
}

function refused(why: string): SlirpVerdict {
  return { program: undefined, why: `no user network: ${why}` };
}
