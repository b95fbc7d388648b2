// The jail of kiln-lease. Pure. It sees programs and libraries of /usr, read-only, and its own file; it begins with the right to
// read and write frames, and gives that up once it has its socket.

import { held, TOLD_FD } from "../bridge/helper.js";

/** Where it sees the directory of its file. */
const FILES = "/kiln";
export const LEASE_FILE = "leases";
const PROGRAM = "/kiln-lease";
/** Of all that root runs: no VM's, no helper's of a VM (engine/host/ownership.ts), no resolver's (plan-names-jail). */
const LEASE_UID = 1_899_999_995;

export interface LeaseJail {
  readonly bwrap: string;
  /** Path of kiln-lease. */
  readonly lease: string;
  /** The directory that it reads. */
  readonly files: string;
  /** False within a user's own namespace, which knows one user. */
  readonly isOwnUser: boolean;
  /** The link on which it answers, and the one with which it ends. */
  readonly on: string;
  readonly with: string;
}

export function planLeaseJail({ bwrap, lease, files, isOwnUser, ...links }: LeaseJail): string[] {
  const rights = ["net_raw", ...(isOwnUser ? ["setuid", "setgid", "setpcap"] : [])];
  return [
    bwrap,
    ...["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--as-pid-1", "--new-session", "--clearenv"],
    ...["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/lib", "/lib", "--ro-bind-try", "/lib64", "/lib64"],
    ...["--symlink", "usr/bin", "/bin", "--dev", "/dev", "--ro-bind", lease, PROGRAM],
    ...["--ro-bind", files, FILES, "--remount-ro", "/", "--chdir", "/", "--cap-drop", "ALL"],
    ...rights.flatMap((right) => ["--cap-add", `CAP_${right.toUpperCase()}`]),
    ...["--info-fd", String(TOLD_FD), "--"],
    ...(isOwnUser ? asNobody() : []),
    ...held(PROGRAM, "--file", `${FILES}/${LEASE_FILE}`, "--on", links.on, "--with", links.with),
  ];
}

function asNobody(): string[] {
  return [
    "setpriv",
    ...[`--reuid=${LEASE_UID}`, `--regid=${LEASE_UID}`, "--clear-groups", "--no-new-privs"],
    ...["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw", "--"],
  ];
}
