// passt's command line for one VM: the guest's side of the user network (10.0.2.15/24 behind 10.0.2.2, resolver
// 10.0.2.3), and nothing of the host's own: no loopback, no link-local addresses, no ports inwards. Pure. Why passt, and
// why each option: docs/design/0013-passt.md.

import { type EgressPolicy, resolvesNames } from "../../base/egress.js";
import { type Netguard, netguardEnvironment } from "../../base/netguard.js";
import { planEnvironment, type RunAs } from "../../base/privileges.js";
import { USER_NET } from "./addresses.js";

/** Of passt: the connected socket to the VMM's card. */
export const CARD_FD = 3;
/** Of passt: where the guard says that it is loaded. passt closes it once it has begun. */
export const ANNOUNCE_FD = 4;
/** Of passt: the file in which the guard counts. passt closes it, too. */
const COUNT_FD = 5;

export interface PasstRequest {
  /** passt's real path. */
  readonly program: string;
  readonly guard: Netguard;
  readonly egress: EgressPolicy;
  /** Path of the file in which refusals are counted; undefined: they are not. */
  readonly countFile?: string | undefined;
  /** Of the daemon. */
  readonly uid: number;
  /** Of the VM, where a root daemon gave it a user. */
  readonly runAs: RunAs | undefined;
  /** Of every process of the VM. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export interface PasstPlan {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly guard: Netguard;
  readonly egress: EgressPolicy;
  readonly countFile?: string | undefined;
}

export function planPasst(request: PasstRequest): PasstPlan {
  const { program, guard, egress, countFile, uid, runAs } = request;
  const argv = [
    program,
    ...["--foreground", "--quiet", "--fd", String(CARD_FD)],
    ...guestArguments(resolvesNames(egress) ? guard.resolver : undefined),
    // passt drops root by itself, and can only then be read by nobody but root.
    ...(uid === 0 ? ["--runas", `${helperUid(runAs)}:${helperUid(runAs)}`] : []),
  ];
  const count = countFile === undefined ? undefined : COUNT_FD;
  const guarded = netguardEnvironment(guard, egress, { announce: ANNOUNCE_FD, count });
  const env = planEnvironment({ ...guarded, ...request.environment });
  return { argv, env, guard, egress, countFile };
}

function guestArguments(resolver: string | undefined): string[] {
  const { guest, prefixLength, gateway, resolver: forwarder } = USER_NET;
  return [
    // IPv6 would be a second way in to guard; the guest has no address of it.
    "--ipv4-only",
    ...["--address", guest, "--netmask", String(prefixLength), "--gateway", gateway],
    // Without it the gateway's address is the host's loopback.
    "--no-map-gw",
    // Ports are published through the agent.
    ...["--tcp-ports", "none", "--udp-ports", "none"],
    "--no-dhcp-search",
    ...(resolver === undefined
      ? ["--dns", "none"]
      : ["--dns", forwarder, "--dns-forward", forwarder, "--dns-host", resolver]),
  ];
}

/** VMs' users are 65,536 from 1,900,000,000 on (engine/host/ownership.ts): the users of their helpers are as many after them. */
const HELPER_OFFSET = 65_536;
/** Of all VMs that have no user of their own (--vm-users=root). */
const SHARED_HELPER = 1_899_999_998;
const FIRST_HELPER = 1_900_000_000 + HELPER_OFFSET;

/** Whom a root daemon lets passt run as: neither root nor the VMM's user, and nobody else's. */
export function helperUid(runAs: RunAs | undefined): number {
  return runAs === undefined ? SHARED_HELPER : runAs.uid + HELPER_OFFSET;
}

/** Of groups, which passt and slirp4netns have as their own: by these, rules know a packet of the user network. */
export const HELPER_GROUPS = { first: SHARED_HELPER, last: FIRST_HELPER + HELPER_OFFSET - 1 } as const;

export function isHelperUid(uid: number): boolean {
  return uid === SHARED_HELPER || (uid >= FIRST_HELPER && uid < FIRST_HELPER + HELPER_OFFSET);
}
