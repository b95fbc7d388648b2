// A container's security context, in the engine's words. Of AppArmor and SELinux a guest has nothing: what the VM gives is
// taken for their default, and all else is refused, so that nobody believes in a profile that is not there.

import { Code, KilnError } from "../base/errors.js";
import type { ContainerSpec } from "../engine/index.js";
import {
  type Int64Value,
  type LinuxContainerSecurityContext,
  NamespaceMode,
  type NamespaceOption,
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy,
} from "../gen/runtime/v1/api_pb.js";
import { textOf } from "./words.js";

type Security = ContainerSpec["security"];

/** What was found for a container before it is planned. */
export interface PlacedSecurity {
  /** /proc/PID/ns/pid in the guest: the pod's, or the target's; needed where one of these is asked for. */
  readonly pidPath?: string | undefined;
  /** Read, where a profile is asked for. */
  readonly seccomp?: Readonly<Record<string, unknown>> | undefined;
}

/** Which seccomp profile is asked for. */
export type SeccompAsk =
  | { readonly kind: "none" | "default" }
  /** Of the host. */
  | { readonly kind: "file"; readonly path: string };

/** @throws KilnError invalid_argument `bad-container`, failed_precondition `not-in-a-vm` */
export function toSecurity(
  asked: LinuxContainerSecurityContext | undefined,
  placed: PlacedSecurity,
): Security {
  const { capabilities, privileged = false } = asked ?? {};
  if (!privileged) refuseOtherModules(asked);
  return {
    privileged,
    user: toUser(asked),
    capabilities: {
      add: capabilities?.addCapabilities ?? [],
      drop: capabilities?.dropCapabilities ?? [],
      ambient: capabilities?.addAmbientCapabilities ?? [],
    },
    readOnlyRoot: asked?.readonlyRootfs ?? false,
    noNewPrivileges: asked?.noNewPrivs ?? false,
    maskedPaths: (asked?.maskedPaths ?? []).map(absolute),
    readOnlyPaths: (asked?.readonlyPaths ?? []).map(absolute),
    pid: toPid(asked?.namespaceOptions, placed),
    seccomp: placed.seccomp,
  };
}

/** The newer field wins over the older text. @throws KilnError invalid_argument `bad-container` */
export function seccompOf(asked: LinuxContainerSecurityContext | undefined): SeccompAsk {
  if (asked === undefined || asked.privileged) return { kind: "none" };
  const { seccomp, seccompProfilePath: text } = asked;
  if (seccomp !== undefined) {
    if (seccomp.profileType === Profile.RuntimeDefault) return { kind: "default" };
    if (seccomp.profileType === Profile.Unconfined) return { kind: "none" };
    if (seccomp.profileType === Profile.Localhost) return fileOf(seccomp.localhostRef);
    throw bad(`has a seccomp profile of type ${String(seccomp.profileType)}`);
  }
  if (text === "" || text === "unconfined") return { kind: "none" };
  if (text === "runtime/default" || text === "docker/default") return { kind: "default" };
  return fileOf(text.startsWith("localhost/") ? text.slice("localhost/".length) : "");
}

function fileOf(path: string): SeccompAsk {
  return { kind: "file", path: absolute(path) };
}

function refuseOtherModules(asked: LinuxContainerSecurityContext | undefined): void {
  const { apparmor, apparmorProfile = "", selinuxOptions } = asked ?? {};
  const named = apparmor?.profileType === Profile.Localhost ? apparmor.localhostRef : apparmorProfile;
  if (named !== "" && named !== "runtime/default" && named !== "unconfined") {
    throw notInVm(`AppArmor's profile ${textOf(named)}`, "use RuntimeDefault or Unconfined");
  }
  const { user, role, type, level } = selinuxOptions ?? {};
  if ([user, role, type, level].some((part) => part))
    throw notInVm("an SELinux label", "leave the label out");
}

function toUser(asked: LinuxContainerSecurityContext | undefined): Security["user"] {
  const policy = asked?.supplementalGroupsPolicy ?? SupplementalGroupsPolicy.Merge;
  const isKnown = policy === SupplementalGroupsPolicy.Merge || policy === SupplementalGroupsPolicy.Strict;
  if (!isKnown) throw bad(`has a policy ${String(policy)} of supplemental groups`);
  return {
    uid: idOf(asked?.runAsUser),
    name: asked?.runAsUsername || undefined,
    gid: idOf(asked?.runAsGroup),
    supplementalGroups: (asked?.supplementalGroups ?? []).map(numberOfId),
    groupsPolicy: policy === SupplementalGroupsPolicy.Strict ? "strict" : "merge",
  };
}

function toPid(options: NamespaceOption | undefined, { pidPath }: PlacedSecurity): Security["pid"] {
  for (const [what, mode] of [
    ["network", options?.network],
    ["IPC", options?.ipc],
  ] as const) {
    if (mode === NamespaceMode.NODE)
      throw notInVm(`the host's ${what} namespace`, "leave it to another runtime");
  }
  switch (options?.pid ?? NamespaceMode.POD) {
    case NamespaceMode.CONTAINER:
      return { kind: "own" };
    case NamespaceMode.NODE:
      return { kind: "guest" };
    default:
      if (pidPath === undefined) throw new TypeError("a pid namespace to join has a path");
      return { kind: "join", path: pidPath };
  }
}

function idOf(value: Int64Value | undefined): number | undefined {
  return value === undefined ? undefined : numberOfId(value.value);
}

/** The last one means no id to Linux. */
const MOST_IDS = 2n ** 32n - 1n;

function numberOfId(id: bigint): number {
  if (id >= 0n && id < MOST_IDS) return Number(id);
  throw bad(`has a user or group ${id}, of which there is none`);
}

function absolute(path: string): string {
  if (path.startsWith("/") && !path.includes("\0") && !path.split("/").includes("..")) return path;
  throw bad(`has a path ${textOf(path)}, which is not absolute`);
}

function notInVm(what: string, hint: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `a container in a VM can't have ${what}`, {
    reason: "not-in-a-vm",
    hint,
  });
}

function bad(why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the container ${why}`, { reason: "bad-container" });
}
