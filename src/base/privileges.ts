// How a VMM process is started: as whom, with which capabilities (none), in which environment: the argv of
// setpriv(1) in front of the VMM's own. setpriv and not QEMU's -runas: that needs system calls which QEMU's own
// sandbox then has to allow.

/** Of a user that is no other process's. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

export interface PrivilegeRequest {
  readonly runAs: RunAs | undefined;
  /** The daemon's own user. */
  readonly uid: number;
  /** Groups that the VMM needs beside its own, e.g. the one that owns /dev/kvm. Only a root daemon can give them. */
  readonly groups: readonly number[];
}

/** The words in front of the VMM's argv. An ordinary user has nothing to drop but the way back up. */
export function planPrivileges(request: PrivilegeRequest): string[] {
  const words = ["setpriv", "--no-new-privs"];
  if (request.uid === 0) {
    words.push("--bounding-set=-all", "--inh-caps=-all");
    words.push(request.groups.length > 0 ? `--groups=${request.groups.join(",")}` : "--clear-groups");
    if (request.runAs !== undefined) {
      words.push(`--reuid=${request.runAs.uid}`, `--regid=${request.runAs.gid}`);
    }
  }
  return [...words, "--"];
}

/** Whom a root daemon's test boot of KVM runs as: no VM's user and no helper's (they are from 1,899,999,998 on). */
export const PROBE_USER = { uid: 1_899_999_997, gid: 1_899_999_997 } as const;

/** What a VMM gets of the daemon's environment: nothing that could hold a secret. */
export function planEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C", ...extra };
}
