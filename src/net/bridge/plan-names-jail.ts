// The jail of a network's dnsmasq. Pure. It sees programs and libraries of /usr, read-only, and its own files; of rights it
// has what port 53 takes.

import { held, TOLD_FD } from "./helper.js";
import type { BridgePrograms } from "./place.js";
import { FILES } from "./plan-names.js";

/** Of all networks' resolvers, where root runs them: no VM's, no helper's of a VM (engine/host/ownership.ts). */
const RESOLVER_UID = 1_899_999_996;
const RIGHTS = ["net_bind_service"];

export interface NamesJail {
  readonly programs: BridgePrograms;
  /** The directory that it reads. */
  readonly files: string;
  /** False within a user's own namespace, which knows one user. */
  readonly isOwnUser: boolean;
}

export function planNamesJail({ programs, files, isOwnUser }: NamesJail): string[] {
  const rights = isOwnUser ? [...RIGHTS, "setuid", "setgid", "setpcap"] : RIGHTS;
  return [
    programs.bwrap,
    ...["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--as-pid-1", "--new-session", "--clearenv"],
    ...["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/lib", "/lib", "--ro-bind-try", "/lib64", "/lib64"],
    ...["--dev", "/dev", "--perms", "0755", "--dir", "/etc", "--ro-bind", `${files}/passwd`, "/etc/passwd"],
    ...["--ro-bind", files, FILES, "--remount-ro", "/", "--chdir", "/", "--cap-drop", "ALL"],
    ...rights.flatMap((right) => ["--cap-add", `CAP_${right.toUpperCase()}`]),
    ...["--info-fd", String(TOLD_FD), "--"],
    ...(isOwnUser ? asResolver() : []),
    ...held(programs.dnsmasq, "--keep-in-foreground", `--conf-file=${FILES}/dnsmasq.conf`),
  ];
}

function asResolver(): string[] {
  const rights = ["-all", ...RIGHTS.map((right) => `+${right}`)].join(",");
  return [
    "setpriv",
    ...[`--reuid=${RESOLVER_UID}`, `--regid=${RESOLVER_UID}`, "--clear-groups", "--no-new-privs"],
    ...[`--inh-caps=${rights}`, `--ambient-caps=${rights}`, `--bounding-set=${rights}`, "--"],
  ];
}
