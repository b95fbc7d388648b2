// A container's capabilities: the usual set, what was dropped, what was added. See capabilities(7).

import { Code, KilnError } from "../../../base/errors.js";
import type { CapabilityChanges } from "../containers/spec.js";
import type { OciCapabilities } from "./types.js";

const ALL = "ALL";
/** What Linux has had since 5.9. */
const KNOWN = [
  ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"],
  ...[
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
  ],
  ...[
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
  ],
  ...[
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
  ],
  ...["MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"],
  "CHECKPOINT_RESTORE",
];
/** Of every container of Docker's and containerd's. */
const USUAL = [
  ...[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
  ],
  ...["NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"],
];

/**
 * As containerd does it: ALL of either kind first, then what is added, then what is dropped. Nothing is inheritable but
 * what is ambient: a file with inheritable capabilities must not give more (CVE-2022-24769).
 *
 * @throws KilnError invalid_argument `bad-capability`
 */
export function planCapabilities(changes: CapabilityChanges, privileged: boolean): OciCapabilities {
  const [add, drop, ambient] = [checked(changes.add), checked(changes.drop), checked(changes.ambient)];
  if (privileged) return sets(new Set(KNOWN), []);
  const has = new Set(add.includes(ALL) ? KNOWN : USUAL);
  if (drop.includes(ALL)) has.clear();
  for (const name of [...add, ...ambient]) if (name !== ALL) has.add(name);
  for (const name of drop) has.delete(name);
  return sets(has, ambient.includes(ALL) ? KNOWN : ambient);
}

function sets(has: ReadonlySet<string>, ambient: readonly string[]): OciCapabilities {
  const inOrder = (wanted: (name: string) => boolean) => KNOWN.filter(wanted).map((name) => `CAP_${name}`);
  const all = inOrder((name) => has.has(name));
  const kept = inOrder((name) => has.has(name) && ambient.includes(name));
  return { bounding: all, effective: all, permitted: all, inheritable: kept, ambient: kept };
}

function checked(names: readonly string[]): string[] {
  return names.map((text) => {
    const name = text.toUpperCase().replace(/^CAP_/, "");
    if (name === ALL || KNOWN.includes(name)) return name;
    throw new KilnError(Code.InvalidArgument, `there is no capability "${text}"`, {
      reason: "bad-capability",
      hint: "names are those of capabilities(7), without CAP_",
    });
  });
}
